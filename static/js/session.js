// Whose page this is. Signing out, or in as somebody else, may happen in another tab.
const meta = (name) => document.querySelector(`meta[name="${name}"]`);

// The account; empty before there are accounts.
export const who = meta("who")?.content ?? "";

// What tells the server that a write comes from a page of this session.
export const formToken = () => meta("form-token")?.content ?? "";

export const signIn = () => `/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;

// Asks who is signed in now: "same" (with a fresh form token), "other", or "nobody". Throws without a network.
export async function renew() {
  const answer = await fetch("/account", { headers: { Accept: "text/html" } });
  if (answer.redirected && new URL(answer.url).pathname !== "/account") return "nobody";
  if (!answer.ok) throw new TypeError(String(answer.status));
  const doc = new DOMParser().parseFromString(await answer.text(), "text/html");
  const now = (name) => doc.querySelector(`meta[name="${name}"]`)?.content ?? "";
  if (now("who") !== who) return "other";
  const token = meta("form-token");
  if (token) token.content = now("form-token");
  return "same";
}
