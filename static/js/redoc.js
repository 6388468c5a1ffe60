// Redoc over the cockpit's own description.
export {};

const place = /** @type {HTMLElement} */ (document.getElementById("redoc"));

// It shows its maker's logo from its maker's host; nothing here is asked of other hosts, so that image stays away.
const image = HTMLImageElement.prototype;
const { get, set } = /** @type {PropertyDescriptor} */ (Object.getOwnPropertyDescriptor(image, "src"));
const { setAttribute } = image;
const own = (/** @type {string} */ url) => (new URL(url, location.href).origin === location.origin ? url : "data:,");

Object.defineProperty(image, "src", {
  get,
  set(url) {
    set?.call(this, own(url));
  },
});
image.setAttribute = function (name, value) {
  setAttribute.call(this, name, name === "src" ? own(value) : value);
};

/** @type {any} */ (window).Redoc.init(place.dataset.schema, { expandResponses: "200,201" }, place);
