// Talking to the API: JSON in and out, problem documents as errors.
import { t } from "./messages.js";
import { formToken } from "./session.js";

export class Problem extends Error {
  // `retryAfter` in seconds, where the server said when to come again
  constructor(status, body, retryAfter = 0) {
    const rows = (body?.errors ?? []).map((e) => e.message ?? e.detail).filter(Boolean);
    super([body?.detail || body?.title || t("js.failed"), ...rows].join(" "));
    this.status = status;
    this.code = body?.code;
    this.errors = body?.errors ?? [];
    this.retryAfter = Number(retryAfter) || 0;
  }
}

export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6] & 15) | 64;
  b[8] = (b[8] & 63) | 128;
  const hex = [...b].map((x) => x.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// The service keeps answers to POSTs by their key, but for those that hold secrets, and needs none for what carries an
// id of its own.
const kept = (method, url, body) => method === "POST" && !/^\/api\/v1\/account|\/webhooks(\/|$)/.test(url) && !body?.client_id;

// `keyed: false` for what may be done twice as well as once.
export async function send(method, url, body, { keyed = true, ...options } = {}) {
  const response = await fetch(url, {
    method,
    headers: {
      "Content-Type": "application/json",
      "X-Form-Token": formToken(),
      "X-Requested-With": "tamis",
      ...(keyed && kept(method, url, body) ? { "Idempotency-Key": uuid() } : {}),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    ...options,
  });
  return answered(response);
}

async function answered(response) {
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Problem(response.status, answer, response.headers.get("Retry-After"));
  return answer;
}

export const post = (url, body = {}, options = {}) => send("POST", url, body, options);

export async function get(url) {
  return answered(await fetch(url, { headers: { Accept: "application/json" } }));
}

// A page of this service as a document.
export async function page(url) {
  const response = await fetch(url, { headers: { Accept: "text/html" } });
  const away = response.redirected && new URL(response.url).pathname === "/sign-in";
  if (away || !response.ok) throw new Problem(away ? 401 : response.status, null, response.headers.get("Retry-After"));
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

// Worth another try by itself: no answer, or one that says "not now".
export const passing = (error) =>
  !(error instanceof Problem) ||
  error.status === 0 ||
  error.status >= 500 ||
  [408, 425, 429].includes(error.status) ||
  error.code === "idempotency_in_progress";

// Milliseconds until the next try after `tries` failures.
export function backOff(tries, error) {
  const wait = Math.min(30000, 500 * 2 ** Math.min(tries, 6));
  return Math.max((error?.retryAfter ?? 0) * 1000, wait * (0.75 + Math.random() / 2));
}

// A multipart upload with its progress in [0, 1].
export function upload(url, form, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.setRequestHeader("X-Requested-With", "tamis");
    request.setRequestHeader("X-Form-Token", formToken());
    request.setRequestHeader("Idempotency-Key", uuid());
    request.upload.onprogress = (e) => e.lengthComputable && onProgress(e.loaded / e.total);
    request.onerror = () => reject(new Problem(0, { detail: t("js.offline") }));
    request.onload = () => {
      let answer = null;
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // an answer that is no JSON is told by its status alone
      }
      if (request.status >= 200 && request.status < 300) resolve(answer);
      else reject(new Problem(request.status, answer));
    };
    request.send(form);
  });
}
