// The code of docs/how-to/react.md, taken from the page: compiled as strictly as it goes, then run under react-dom.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { register } from "node:module";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { Window } from "happy-dom";
import { alert, Api, dashboard, quiet, refuse, until } from "./api.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const HOST = "https://cockpit.example.org";
const CONFIG = {
  compilerOptions: {
    strict: true, noUncheckedIndexedAccess: true, noUnusedLocals: true, allowJs: true, skipLibCheck: true,
    target: "es2022", lib: ["es2023", "dom", "dom.iterable"], types: [],
    module: "esnext", moduleResolution: "bundler", jsx: "react-jsx",
    paths: { "@/*": ["./src/*"] }, rootDir: "src", outDir: "out",
  },
  include: ["src"],
};
// What a user of the types may, and may not, write.
const CHECKS = `
import { MonitoringDashboard } from "@/components/monitoring/MonitoringDashboard";
import { useMonitoring } from "@/hooks/useMonitoring";
export function Check() {
  // @ts-expect-error the organization is required
  useMonitoring({});
  // @ts-expect-error an interval is a number
  useMonitoring({ organization: "a", refreshInterval: "1" });
  const { data, alerts, createAlert, acknowledgeAlert, resolveAlert } = useMonitoring({ organization: "a", token: () => "text" });
  // @ts-expect-error there may be no data yet
  data.totals;
  // @ts-expect-error money is text, or not known
  const cost: number = data?.totals.cost;
  const unit: "currency" | "ms" | "ratio" | undefined = data?.movers[0]?.unit;
  // @ts-expect-error there may be no alerts to read
  alerts.map((alert) => alert.message);
  const worst: "critical" | "warning" | "info" | undefined = alerts?.[0]?.severity;
  // @ts-expect-error an alert has no title
  alerts?.map((alert) => alert.title);
  // @ts-expect-error a severity is one of three
  createAlert({ alertType: "a", severity: "bad", message: "b" });
  const made: Promise<{ id: string; episode: number }> = createAlert({ alertType: "a", severity: worst ?? "info", message: "b" });
  made.then(({ id }) => acknowledgeAlert(id, { note: "c", until: new Date() }).then(() => resolveAlert(id)));
  // @ts-expect-error the organization is required
  return <MonitoringDashboard className={String(cost ?? unit)} />;
}
`;

const place = {};
const mounted = [];

before(async () => {
  const cache = join(ROOT, "node_modules", ".cache");
  await mkdir(cache, { recursive: true });
  place.folder = await mkdtemp(join(cache, "react-"));
  const page = await readFile(join(ROOT, "docs/how-to/react.md"), "utf8");
  const files = [...page.matchAll(/^`(src\/[^`]+)`:\n\n```tsx?\n(.*?)^```$/gms)].map(([, name, text]) => [name, text]);
  assert.equal(files.length, 3);
  assert.equal(page.match(/^```tsx?$/gm).length, files.length, "every piece of code names its file");
  files.push(["src/Check.tsx", CHECKS], ["tsconfig.json", JSON.stringify(CONFIG)], ["package.json", '{"type": "module"}']);
  for (const [name, text] of files) {
    await mkdir(dirname(join(place.folder, name)), { recursive: true });
    await writeFile(join(place.folder, name), text);
  }
  for (const name of ["live.js", "monitoring.js", "tokens.js"]) {
    await cp(join(ROOT, "static/js", name), join(place.folder, "src/cockpit", name));
  }
  const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
  await promisify(execFile)(process.execPath, [compiler, "-p", place.folder]).catch(({ stdout }) => assert.fail(stdout));

  const out = pathToFileURL(join(place.folder, "out/")).href;
  const hook = `export const resolve = (name, context, next) =>
    next(name.startsWith("@/") ? ${JSON.stringify(out)} + name.slice(2) + ".js" : name, context);`;
  register(`data:text/javascript,${encodeURIComponent(hook)}`);

  const window = new Window({ url: "https://app.example.org/" });
  place.close = () => window.happyDOM.close();
  const { document, navigator } = window;
  Object.assign(globalThis, { window, document, ...(globalThis.navigator ? {} : { navigator }) }); // newer Nodes have their own
  place.react = await import("react");
  place.dom = await import("react-dom/client");
  place.server = await import("react-dom/server");
  place.app = (await import(`${out}AppMonitoring.js`)).AppMonitoring;
  place.hook = (await import(`${out}hooks/useMonitoring.js`)).useMonitoring;
});

after(async () => {
  for (const root of mounted) root.unmount();
  await place.close?.();
  if (place.folder) await rm(place.folder, { recursive: true });
});

/** The API of one test at the address that the page names; the app's own server gives tokens. */
async function serve(t) {
  const api = await Api.start(t);
  api.on.other = (_, response) => response.end(JSON.stringify({ token: "embedded", expiresAt: new Date(Date.now() + 9e5) }));
  const real = fetch;
  t.mock.method(globalThis, "fetch", (url, init) => real(new URL(url, api.url).href.replace(HOST, api.url), init));
  return api;
}

function mount(element) {
  const at = document.createElement("div");
  document.body.append(at);
  const root = place.dom.createRoot(at);
  mounted.push(root);
  root.render(element);
  return { at, root };
}

/** Shows the hook's snapshot as text, and keeps all of them. */
function Probe({ options, seen }) {
  const monitoring = place.hook(options);
  seen.push({ of: options.organization, ...monitoring });
  return String(monitoring.data?.totals.inferences ?? "nothing");
}
const probe = (options, seen) => place.react.createElement(Probe, { options: { baseUrl: HOST, ...options }, seen });

test("it shows the figures, and follows them until it is taken away", async (t) => {
  const api = await serve(t);
  const { at, root } = mount(place.react.createElement(place.app));
  await until(() => at.textContent.includes("1 inferences, 0.5 USD") && api.streams.size === 1);
  for (const { headers } of [...api.asked.dashboard, ...api.asked.stream]) assert.equal(headers.authorization, "Bearer embedded");
  assert.deepEqual(api.asked.other.map(({ url }) => url), ["/api/monitoring-token"]);
  api.inferences = 2;
  api.stale();
  await until(() => at.textContent.includes("2 inferences"));
  root.unmount();
  await until(() => api.streams.size === 0);
  const asked = api.asked.dashboard.length;
  await quiet();
  assert.deepEqual([at.innerHTML, api.asked.dashboard.length], ["", asked]);
});

test("the component is the cockpit's element, with its class", async (t) => {
  await serve(t);
  const { at, root } = mount(place.react.createElement(place.app));
  await until(() => at.querySelector("monitoring-dashboard"));
  const { attributes } = at.querySelector("monitoring-dashboard");
  assert.deepEqual(
    Object.fromEntries([...attributes].map(({ name, value }) => [name, value])),
    { organization: "swaggystacks", "token-url": "/api/monitoring-token", class: "w-full h-full" },
  );
  root.unmount();
});

test("an error is shown beside the figures, and strict mode leaves nothing behind", async (t) => {
  const api = await serve(t);
  const { at, root } = mount(place.react.createElement(place.react.StrictMode, null, place.react.createElement(place.app)));
  await until(() => at.textContent.includes("1 inferences") && api.streams.size === 1);
  api.on.dashboard = (_, response) => refuse(response, 403, {}, "Not yours any more.");
  api.stale();
  await until(() => at.querySelector("[role=alert]")?.textContent === "Not yours any more.");
  assert.ok(at.textContent.includes("1 inferences"));
  await until(() => api.streams.size === 0);
  root.unmount();
});

test("what is rendered again and again starts nothing anew", async (t) => {
  const api = await serve(t);
  const seen = [];
  const { at, root } = mount(null);
  for (let times = 0; times < 5; times += 1) {
    root.render(probe({ organization: "swaggystacks", token: () => `text${times}` }, seen));
    await until(() => at.textContent === "1" && api.streams.size === 1);
  }
  await quiet();
  assert.equal(api.asked.stream.length, 1);
  assert.equal(new Set(seen.map(({ refresh }) => refresh)).size, 1);
  const asked = api.asked.dashboard.length;
  seen.at(-1).refresh();
  await until(() => api.asked.dashboard.length > asked);
  root.unmount();
});

test("the verbs act on what is watched, and are the same at each rendering", async (t) => {
  const api = await serve(t);
  const seen = [];
  const { at, root } = mount(probe({ organization: "swaggystacks", token: "key", enableRealTime: false }, seen));
  await until(() => at.textContent === "1");
  const { createAlert, acknowledgeAlert, resolveAlert } = seen.at(-1);
  const read = api.on.alerts;
  api.on.alerts = (request, response, asked) => {
    if (request.method === "GET") return read(request, response);
    api.alerts = [alert("n1")];
    response.end(JSON.stringify(alert("n1", { sent: asked.body })));
  };
  const made = await createAlert({ alertType: "a", severity: "info", message: "b" });
  assert.equal(JSON.parse(made.sent).organization, "swaggystacks");
  await until(() => seen.at(-1).alerts?.[0]?.id === "n1");
  await acknowledgeAlert("n1", { note: "c" });
  await resolveAlert("n1");
  assert.deepEqual(api.asked.alerts.filter(({ method }) => method === "PUT").map(({ url }) => url.split("/").at(-1)), ["acknowledge", "resolve"]);
  for (const name of ["createAlert", "acknowledgeAlert", "resolveAlert"]) assert.equal(new Set(seen.map((one) => one[name])).size, 1);
  root.unmount();
  await assert.rejects(resolveAlert("n1"), { message: "Nothing is watched yet." });
});

test("figures of one organization are never shown under the name of another", async (t) => {
  const api = await serve(t);
  const counts = { swaggystacks: 1, scientia_capital: 7 };
  api.on.dashboard = (request, response) => {
    const organization = new URL(request.url, api.url).searchParams.get("organization");
    response.end(JSON.stringify({ ...dashboard(counts[organization]), organization }));
  };
  const seen = [];
  const { at, root } = mount(probe({ organization: "swaggystacks" }, seen));
  await until(() => at.textContent === "1");
  root.render(probe({ organization: "scientia_capital" }, seen));
  await until(() => at.textContent === "7");
  assert.deepEqual(seen.filter(({ of, data }) => data && data.organization !== of), []);
  await until(() => api.streams.size === 1);
  root.unmount();
});

test("a server renders it without asking anybody", async (t) => {
  const api = await serve(t);
  const html = place.server.renderToString(place.react.createElement(place.app));
  assert.match(html, /<p>Loading<\/p>.*<monitoring-dashboard organization="swaggystacks"/);
  await quiet();
  assert.deepEqual(Object.values(api.asked).flat(), []);
});
