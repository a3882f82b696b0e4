// One place that decides whether a key press is a command: never while typing or composing
// (input methods), never with a modifier, never behind an open dialogue.
const typing = (el) =>
  el instanceof HTMLElement &&
  (el.isContentEditable || /^(TEXTAREA|SELECT)$/.test(el.tagName) ||
    (el.tagName === "INPUT" && !/^(checkbox|radio|button|submit)$/.test(el.type)));

export function onKey(handle) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.keyCode === 229) return;
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    // a letter with Shift is meant for something else; Caps Lock is not
    if (event.shiftKey && /^[a-z]$/i.test(event.key)) return;
    if (document.querySelector("dialog[open]")) return;
    if (handle(event.key.length === 1 ? event.key.toLowerCase() : event.key, event)) event.preventDefault();
  });
}
