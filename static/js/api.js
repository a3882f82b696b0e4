// Talking to the API: JSON in and out, problem documents as errors.
import { t } from "./messages.js";

export class Problem extends Error {
  constructor(status, body) {
    const rows = (body?.errors ?? []).map((e) => e.message ?? e.detail).filter(Boolean);
    super([body?.detail || body?.title || t("js.failed"), ...rows].join(" "));
    this.status = status;
    this.code = body?.code;
    this.errors = body?.errors ?? [];
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

// What tells the server that a write comes from a page of this session.
export const formToken = () => document.querySelector('meta[name="form-token"]')?.content ?? "";

export async function send(method, url, body, options = {}) {
  const response = await fetch(url, {
    method,
    headers: {
      "Content-Type": "application/json",
      "X-Form-Token": formToken(),
      "X-Requested-With": "tamis",
      "Idempotency-Key": uuid(),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    ...options,
  });
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Problem(response.status, answer);
  return answer;
}

export const post = (url, body = {}, options = {}) => send("POST", url, body, options);

export async function get(url) {
  const response = await fetch(url, { headers: { Accept: "application/json" } });
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Problem(response.status, answer);
  return answer;
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
