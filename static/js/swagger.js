// Swagger UI over the cockpit's own description. Keys that are entered stay in this page.
export {};

const place = /** @type {HTMLElement} */ (document.getElementById("swagger"));

/** @type {any} */ (window).SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  deepLinking: true,
  displayOperationId: false,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  validatorUrl: null,
});
