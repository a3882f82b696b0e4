// What the browser keeps until the server has it: in IndexedDB, or in localStorage where a browser
// refuses that. A promise that is kept means that the entry survives a closed tab and a crash.
const NAME = "tamis";
const STORE = "outbox";
const LOCAL = "tamis.outbox";

const asked = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

// The value that `body` came to, once the transaction is on disk.
async function within(db, mode, body) {
  const tx = db.transaction(STORE, mode);
  const done = new Promise((resolve, reject) => {
    tx.oncomplete = resolve;
    tx.onerror = tx.onabort = () => reject(tx.error ?? new Error("aborted"));
  });
  const value = await body(tx.objectStore(STORE));
  tx.commit?.();
  await done;
  return value;
}

const inDatabase = (db) => ({
  all: () => within(db, "readonly", (store) => asked(store.getAll())),
  put: (entry) => within(db, "readwrite", (store) => asked(store.put(entry))),
  change: (id, how) =>
    within(db, "readwrite", async (store) => {
      const was = await asked(store.get(id));
      const now = was ? how(was) : null;
      if (now) await asked(store.put(now));
      else if (was) await asked(store.delete(id));
      return was ?? null;
    }),
});

const readLocal = () => JSON.parse(localStorage.getItem(LOCAL) || "[]");
const writeLocal = (list) => (list.length ? localStorage.setItem(LOCAL, JSON.stringify(list)) : localStorage.removeItem(LOCAL));
const inLocal = {
  all: async () => readLocal(),
  put: async (entry) => writeLocal([...readLocal().filter((e) => e.client_id !== entry.client_id), entry]),
  change: async (id, how) => {
    const list = readLocal();
    const was = list.find((e) => e.client_id === id) ?? null;
    if (was) writeLocal(list.map((e) => (e === was ? how(was) : e)).filter(Boolean));
    return was;
  },
};

async function open() {
  try {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "client_id" });
    const db = await asked(request);
    db.onversionchange = () => db.close();
    const kept = inDatabase(db);
    // what was kept there while the database was refused
    for (const entry of readLocal()) await kept.put(entry);
    writeLocal([]);
    return kept;
  } catch {
    return inLocal;
  }
}

let opened = null;
const place = () => (opened ??= open());

// All entries, in the order of their `at`.
export const all = async () => (await (await place()).all()).sort((a, b) => a.at - b.at);

// Resolves once the entry (with its `client_id`) is kept.
export const put = async (entry) => (await place()).put(entry).catch(() => inLocal.put(entry));

// Replaces an entry by `how(entry)`, deletes it where that is null, in one step among all tabs; returns
// what the entry was before, null where there is none.
export const change = async (id, how) => (await place()).change(id, how);
