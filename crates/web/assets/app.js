"use strict";

// The import of one shop, in a frame of Salla's dashboard (a bearer in memory, because no cookie
// arrives there) or on a separate page (a cookie that scripts cannot read).

const WORDS = {
  ar: {
    title: "استيراد بيانات متجرك",
    loading: "جارٍ التحميل…",
    connecting: "يجري ربط متجرك. ستتحدث هذه الصفحة من تلقاء نفسها.",
    disconnected: "انقطع الربط بمتجرك. ثبّت التطبيق من جديد من متجر تطبيقات سلة ليُستأنف الاستيراد.",
    notStarted: "لم يبدأ استيراد بعد. اختر المدة التي تريد طلباتها؛ أما العملاء والمنتجات فتُستورد كاملة.",
    months: "المدة بالأشهر",
    PENDING: "في قائمة الانتظار",
    IN_PROGRESS: "جارٍ الاستيراد",
    WAITING: "ينتظر سماح سلة بالمتابعة",
    PAUSED: "متوقف مؤقتًا",
    COMPLETED: "اكتمل الاستيراد",
    FAILED: "تعذّر إكمال الاستيراد",
    CANCELLED: "أُلغي الاستيراد",
    failedHint: "ما استُورد محفوظ. حاول من جديد لتتم المتابعة من حيث توقف؛ وإن تكرر الخطأ فراسل الدعم واذكر هذا الرمز:",
    remaining: "الوقت المتبقي تقريبًا",
    orders: "الطلبات",
    customers: "العملاء",
    products: "المنتجات",
    rejected: "سجلات تعذّرت قراءتها",
    progress: "نسبة الإنجاز",
    start12: "استورد آخر 12 شهرًا",
    start24: "استورد آخر 24 شهرًا",
    pause: "إيقاف مؤقت",
    resume: "متابعة",
    restart: "حاول من جديد",
    signOut: "تسجيل الخروج",
    connect: "اربط متجرك",
    signedOut: "لم تسجّل الدخول. اربط متجرك، أو افتح التطبيق من لوحة تحكم سلة.",
    refused: "تعذّر التحقق من هويتك لدى سلة. افتح التطبيق من لوحة تحكم سلة من جديد.",
    noToken: "هذه الصفحة تُفتح من داخل لوحة تحكم سلة.",
    away: "لا تستجيب سلة الآن. ستُعاد المحاولة تلقائيًا.",
    offline: "تعذّر الوصول إلى الخدمة. ستُعاد المحاولة تلقائيًا.",
    tooMany: "طلبات كثيرة. ستُعاد المحاولة بعد قليل.",
    actionFailed: "لم يُنفَّذ الطلب. حدّث الصفحة ثم حاول من جديد.",
    reload: "إعادة التحميل",
    codeHint: "أدخل الرمز الذي يعرضه لك التطبيق لربط هذا المتجر بحسابك فيه.",
    code: "رمز الربط",
    useCode: "اربط بحسابي",
    unknown_code: "لا يوجد رمز كهذا. اكتبه كما يعرضه التطبيق.",
    expired_code: "انتهت صلاحية الرمز. اطلب من التطبيق رمزًا جديدًا.",
    spent_code: "استخدم متجر آخر هذا الرمز. اطلب من التطبيق رمزًا جديدًا.",
    other_account: "هذا المتجر مرتبط بحساب آخر في التطبيق، ولا يُنقل من حساب إلى حساب.",
  },
  en: {
    title: "Your shop's import",
    loading: "Loading…",
    connecting: "Your shop is being connected. This page updates automatically.",
    disconnected: "The connection to your shop has ended. Install the app again from Salla's App Store, and the import resumes.",
    notStarted: "No import has been started yet. Choose how far back orders should reach; customers and products are always imported whole.",
    months: "Months",
    PENDING: "Queued",
    IN_PROGRESS: "Importing",
    WAITING: "Waiting until Salla allows more",
    PAUSED: "Paused",
    COMPLETED: "The import is complete",
    FAILED: "The import could not be completed",
    CANCELLED: "The import was cancelled",
    failedHint: "What was imported is saved. Try again to resume where it stopped; if it fails again, contact support and name this code:",
    remaining: "Time left, about",
    orders: "Orders",
    customers: "Customers",
    products: "Products",
    rejected: "Unreadable records",
    progress: "Progress",
    start12: "Import the last 12 months",
    start24: "Import the last 24 months",
    pause: "Pause",
    resume: "Resume",
    restart: "Try again",
    signOut: "Sign out",
    connect: "Connect your shop",
    signedOut: "You have not signed in. Connect your shop, or open the app in Salla's dashboard.",
    refused: "Salla did not confirm who you are. Open the app in Salla's dashboard again.",
    noToken: "This page is opened inside Salla's dashboard.",
    away: "Salla is not responding now. This page tries again automatically.",
    offline: "The service cannot be reached. This page tries again automatically.",
    tooMany: "Too many requests. This page tries again in a moment.",
    actionFailed: "That was not done. Reload the page, then try again.",
    reload: "Load again",
    codeHint: "Type the code that the app shows to you, to connect this shop to your account there.",
    code: "Code",
    useCode: "Connect to my account",
    unknown_code: "There is no such code. Type it as the app shows it.",
    expired_code: "The code has expired. Have the app show another one.",
    spent_code: "Another shop has used this code. Have the app show another one.",
    other_account: "This shop is connected to another account of the app, and was not moved from one to the other.",
  },
};

const SOON = 3000;
const LATER = 15000;
// A dashboard that gives another token loads the frame again by then.
const TOKEN_IN = 10000;
const REFRESHED = "salla-sync-refreshed";

const root = document.documentElement;
const app = document.getElementById("app");
const isFramed = document.body.dataset.shell === "embedded";
// The frame's address, opened on its own, has no dashboard to request anything of.
const hasDashboard = isFramed && window.parent !== window;
const dashboards = document.body.dataset.dashboards.split(" ").filter(Boolean);
const query = new URLSearchParams(location.search);
const token = query.get("token");

let words = WORDS[root.lang];
let bearer = null;
let session = null;
let openedAt = 0;
let last = null;
let shown = null;
let timer = null;

// Salla's dashboard ---------------------------------------------------------------------------

function post(event, payload = {}) {
  if (!hasDashboard) return;
  const message = { event, payload, timestamp: Date.now(), source: "embedded-app", metadata: {} };
  for (const origin of dashboards) window.parent.postMessage(message, origin);
}

function setLanguage(locale) {
  const language = String(locale).toLowerCase().startsWith("en") ? "en" : "ar";
  root.lang = language;
  root.dir = language === "en" ? "ltr" : "rtl";
  words = WORDS[language];
  document.title = words.title;
}

function setTheme(theme) {
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
}

window.addEventListener("message", (message) => {
  if (message.source !== window.parent || !dashboards.includes(message.origin)) return;
  const { event, payload } = message.data || {};
  if (event === "embedded::context.provide" && payload && payload.layout) {
    setTheme(payload.layout.theme);
    if (payload.layout.locale) setLanguage(payload.layout.locale);
    if (last) last();
  }
  if (event === "embedded::theme.change" && payload) setTheme(payload.theme);
});

// The dashboard loads the frame again with another token. If that does not help, a merchant
// decides: a frame that reloads itself again and again helps no one.
function askForToken() {
  // A session that has served for a while has simply ended.
  if (openedAt && Date.now() - openedAt > 60000) {
    post("embedded::auth.refresh");
    return true;
  }
  let before = 0;
  try {
    before = Number(sessionStorage.getItem(REFRESHED)) || 0;
    sessionStorage.setItem(REFRESHED, String(Date.now()));
  } catch {
    before = Date.now();
  }
  if (Date.now() - before < 60000) return false;
  post("embedded::auth.refresh");
  return true;
}

// The service ---------------------------------------------------------------------------------

class Refusal extends Error {
  constructor(status, code) {
    super(code);
    this.status = status;
    this.code = code;
  }
}

async function request(method, path, body) {
  const headers = {};
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method,
    headers,
    body: body ? JSON.stringify(body) : undefined,
    credentials: isFramed ? "omit" : "same-origin",
    cache: "no-store",
  });
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, answer.code);
  return answer;
}

async function signIn() {
  if (!isFramed) {
    session = await request("GET", "/api/v1/session");
    return;
  }
  const opened = await request("POST", "/api/v1/sessions", { token });
  bearer = opened.session;
  openedAt = Date.now();
  session = opened;
}

function sync(rest = "") {
  return `/api/v1/merchants/${session.sallaId}/sync${rest}`;
}

// What is shown -------------------------------------------------------------------------------

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function show(...parts) {
  const section = element("section");
  if (!isFramed) section.append(element("h1", words.title));
  section.append(...parts.filter(Boolean));
  const focused = document.activeElement;
  app.replaceChildren(section, ...(session && session.wantsCode ? [codeForm()] : []));
  if (focused && focused.isConnected) focused.focus();
  app.setAttribute("aria-busy", "false");
}

function say(word, ...more) {
  const key = `${word} ${root.lang}`;
  if (shown === key) return;
  shown = key;
  last = () => show(element("p", words[word]), ...more.map((make) => make()));
  last();
}

function button(word, act, className) {
  const made = element("button", words[word], className);
  made.type = "button";
  made.addEventListener("click", async () => {
    made.disabled = true;
    await act();
  });
  return made;
}

function link(word, href) {
  const made = element("a", words[word], "action");
  made.href = href;
  return made;
}

function number(value, style) {
  return new Intl.NumberFormat(root.lang === "en" ? "en" : "ar-u-nu-latn", style).format(value);
}

// The sign stands where each language writes it.
function percent(value) {
  return number(value / 100, { style: "percent" });
}

function minutes(seconds) {
  const unit = { style: "unit", unit: "minute", unitDisplay: "long" };
  return number(Math.max(1, Math.ceil(seconds / 60)), unit);
}

function counts(resources) {
  const list = element("dl");
  for (const name of ["orders", "customers", "products", "rejected"]) {
    if (name === "rejected" && !resources.rejected) continue;
    const pair = element("div");
    pair.append(element("dt", words[name]), element("dd", number(resources[name])));
    list.append(pair);
  }
  return list;
}

function bar(run) {
  const made = element("progress");
  made.max = 100;
  made.value = run.percent;
  made.setAttribute("aria-label", words.progress);
  return made;
}

// One for the whole life of the page: what was typed stays while the rest changes.
let form = null;

function codeForm() {
  if (form) return form;
  form = element("section");
  const inner = element("form");
  const label = element("label", `${words.code} `);
  const input = element("input");
  const said = element("p", "", "failed");
  const send = element("button", words.useCode);
  input.name = "code";
  input.autocomplete = "off";
  input.spellcheck = false;
  input.dir = "ltr";
  input.maxLength = 40;
  said.setAttribute("role", "alert");
  label.append(input);
  inner.append(element("p", words.codeHint), label, element("p"), send, said);
  inner.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    said.textContent = "";
    try {
      await request("POST", "/api/v1/session/claim", { code: input.value });
      session = { ...session, ...(await request("GET", "/api/v1/session")) };
      await look();
    } catch (error) {
      if (error.status === 401) failed(error);
      else said.textContent = words[error.code] || words[error.status === 429 ? "tooMany" : "actionFailed"];
    }
    send.disabled = false;
  });
  form.append(inner);
  return form;
}

function actions(status) {
  const made = element("div", undefined, "actions");
  const state = status.run && status.run.state;
  const start = (months) => () => act(sync(), { syncDepthMonths: months });
  if (status.connection.state === "connected") {
    const isOver = !state || state === "COMPLETED" || state === "CANCELLED";
    const has24 = state === "COMPLETED" && status.run.syncDepthMonths >= 24;
    if (isOver && state !== "COMPLETED") made.append(button("start12", start(12)));
    if (isOver && !has24) made.append(button("start24", start(24), state ? "" : "second"));
    if (state === "FAILED") made.append(button("restart", () => act(sync("/restart"))));
    if (state === "PAUSED") made.append(button("resume", () => act(sync("/resume"))));
    if (state === "IN_PROGRESS" || state === "PENDING") {
      made.append(button("pause", () => act(sync("/pause")), "second"));
    }
  }
  if (!isFramed) made.append(button("signOut", signOut, "second"));
  return made;
}

function view(status) {
  const { run } = status;
  const parts = [element("h2", status.name)];
  if (status.connection.state !== "connected") {
    parts.push(element("p", words.disconnected, "failed"));
  }
  if (!run) {
    parts.push(element("p", words.notStarted, "muted"));
  } else {
    const tone = { COMPLETED: "done", FAILED: "failed" }[run.state] || "";
    const line = element("p", words[run.state], `state ${tone}`);
    line.setAttribute("role", "status");
    parts.push(line, bar(run));
    parts.push(element("p", percent(run.percent), "muted"));
    if (run.eta && run.state !== "COMPLETED") {
      parts.push(element("p", `${words.remaining}: ${minutes(run.eta.maxSeconds)}`, "muted"));
    }
    if (run.state === "FAILED") {
      const hint = element("p", `${words.failedHint} `);
      hint.append(element("code", run.lastError ? run.lastError.code : "-"));
      parts.push(hint);
    }
    parts.push(counts(run.resources));
  }
  parts.push(actions(status));
  show(...parts);
}

// What happens --------------------------------------------------------------------------------

function again(after) {
  clearTimeout(timer);
  timer = setTimeout(look, document.hidden ? LATER : after);
}

async function act(path, body) {
  try {
    await request("POST", path, body);
  } catch (error) {
    return failed(error, "actionFailed");
  }
  return look();
}

async function signOut() {
  try {
    await request("DELETE", "/api/v1/session");
  } finally {
    session = null;
    say("signedOut", () => link("connect", "/connect"));
  }
}

function reload() {
  return button("reload", () => post("embedded::auth.refresh"));
}

function failed(error, word) {
  if (error.status === 401) {
    bearer = null;
    session = null;
    if (!isFramed) return say("signedOut", () => link("connect", "/connect"));
    const refuse = () => say(token ? "refused" : "noToken", ...(hasDashboard ? [reload] : []));
    if (!token || !hasDashboard || !askForToken()) return refuse();
    timer = setTimeout(refuse, TOKEN_IN);
    return say("loading");
  }
  if (error.status === 429) say("tooMany");
  else if (error.status === 502) say("away");
  else if (error.status && word) say(word, () => button("reload", look));
  else say("offline");
  again(LATER);
}

async function look() {
  clearTimeout(timer);
  try {
    if (!session) await signIn();
    const status = await request("GET", sync()).catch((error) => {
      if (error.status === 404) return null;
      throw error;
    });
    if (!status) {
      // The shop's tokens are still on their way.
      say("connecting");
      return again(SOON);
    }
    // What has not changed stays as it is, with the focus in it.
    const text = JSON.stringify([status, session.wantsCode]);
    if (text !== shown) {
      last = () => view(status);
      last();
      shown = text;
    }
    const isOver = status.run && ["COMPLETED", "FAILED", "CANCELLED"].includes(status.run.state);
    again(isOver ? LATER : SOON);
  } catch (error) {
    failed(error);
  }
}

async function begin() {
  setLanguage(root.lang);
  // Addresses are kept in histories and shown on screens; the token needs to be in neither.
  if (token) {
    query.delete("token");
    history.replaceState(null, "", `${location.pathname}?${query}`);
  }
  post("embedded::iframe.ready", { height: root.scrollHeight });
  post("embedded::page.setTitle", { title: words.title });
  if (isFramed && !token) say("noToken");
  else await look();
  post("embedded::ready");
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && session) look();
});

begin();
