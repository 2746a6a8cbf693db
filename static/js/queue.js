// What waits on this device for the network, in IndexedDB, in the order in which it happened: positions of a trip, and
// steps and answers that somebody tapped. Every row says whose it is; all tabs share the rows.
//
//   a position  {account, fixMs, at, point, recordedAt?}       `at`: a stamp of clock.js; `fixMs` makes it unique
//   a step      {account, key, at, command, label, untilMs}    `key`: what the server recognises it by, `untilMs`: by the
//                                                              server's clock, when it is not worth sending any more
//
// Dispatches "stepper:queue" on document after every change, of any tab (detail: {points, steps}), and in all tabs of the
// account what `tellTabs` is called with.

const NAME = "stepper";
const ROWS = "queue";
const channel = new BroadcastChannel("stepper:queue");

/** The account that this page was made for; 0: nobody is signed in, null: a page that does not know. */
export const account =
  document.documentElement.dataset.account === undefined ? null : Number(document.documentElement.dataset.account);

/** What is older is not worth sending any more. */
export const WORTH_MS = 12 * 3600 * 1000;

/** What waits: how many positions, and the steps, oldest first. As of the last "stepper:queue". */
export let waiting = { points: 0, steps: [] };

// A browser may never say how opening ended (WebKit after a start).
const OPENED_WITHIN_MS = 5000;
let opening = null;

function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

// A request that succeeded is not kept yet: writing it to the disk may fail.
function ended(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new DOMException("", "AbortError"));
  });
}

// Whatever ends a connection, or keeps it from being made, the next use opens another one.
function forgetConnection(opened) {
  if (opening === opened) opening = null;
}

function open() {
  if (opening) return opening;
  const opened = new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      reject(new DOMException("", "TimeoutError"));
    }, OPENED_WITHIN_MS);
    request.onupgradeneeded = () => {
      const rows = request.result.createObjectStore(ROWS, { keyPath: "id", autoIncrement: true });
      rows.createIndex("point", ["account", "fixMs"], { unique: true });
      rows.createIndex("step", ["account", "key"], { unique: true });
    };
    request.onerror = () => {
      clearTimeout(timer);
      reject(request.error);
    };
    request.onsuccess = () => {
      clearTimeout(timer);
      const database = request.result;
      // The browser closes it by itself when it has no memory left, or deletes the site's data.
      database.onclose = () => forgetConnection(opened);
      // Another tab deletes it, as somebody has signed out.
      database.onversionchange = () => {
        database.close();
        forgetConnection(opened);
      };
      if (late) database.close();
      resolve(database);
    };
  });
  opening = opened;
  opened.catch(() => forgetConnection(opened));
  return opened;
}

async function attempt(mode, work) {
  const opened = open();
  const database = await opened;
  try {
    const transaction = database.transaction(ROWS, mode);
    const [value] = await Promise.all([work(transaction.objectStore(ROWS)), ended(transaction)]);
    return value;
  } catch (error) {
    forgetConnection(opened);
    throw error;
  }
}

// What another connection cannot do either.
const FINAL = ["ConstraintError", "QuotaExceededError"];

/**
 * Does `work` on the rows, in one transaction, and waits until that is kept. A connection that is dead may not say so
 * before it is used, so after a failure all of it is done once more over a new one.
 */
function withRows(mode, work) {
  return attempt(mode, work).catch((error) => {
    if (FINAL.includes(error.name)) throw error;
    return attempt(mode, work);
  });
}

// In an index [account, …]: an array is above every number and string.
function mine() {
  return IDBKeyRange.bound([account], [account, []]);
}

/** Reads what waits, and tells this page. */
export async function refresh() {
  const [points, steps] = await withRows("readonly", (rows) =>
    Promise.all([result(rows.index("point").count(mine())), result(rows.index("step").getAll(mine()))]),
  );
  waiting = { points, steps: steps.sort((a, b) => a.id - b.id) };
  document.dispatchEvent(new CustomEvent("stepper:queue", { detail: waiting }));
}

/** Dispatches a CustomEvent on the document of every tab of this account. */
export function tellTabs(name, detail) {
  channel.postMessage({ account, name, detail });
  document.dispatchEvent(new CustomEvent(name, { detail }));
}

async function changed() {
  channel.postMessage({ account });
  await refresh();
}
channel.addEventListener("message", ({ data }) => {
  if (data.account !== account) return;
  if (data.name) document.dispatchEvent(new CustomEvent(data.name, { detail: data.detail }));
  // Until it is changed again the page shows what it knew.
  else refresh().catch(() => {});
});

/** Keeps a row; one that is there already (two tabs got the same position) stays alone. Rejects what is not kept. */
export async function add(row) {
  await withRows("readwrite", (rows) => result(rows.add({ ...row, account }))).catch((error) => {
    if (error.name !== "ConstraintError") throw error;
  });
  await changed();
}

/** Keeps rows that have changed. */
export async function replace(changedRows) {
  await withRows("readwrite", (rows) => Promise.all(changedRows.map((row) => result(rows.put(row)))));
}

/** The oldest rows of this account, at most `count`. */
export async function oldest(count) {
  const rows = await withRows("readonly", (all) => result(all.getAll(null, count)));
  return rows.filter((row) => row.account === account);
}

export async function remove(ids) {
  if (!ids.length) return;
  await withRows("readwrite", (rows) => Promise.all(ids.map((id) => result(rows.delete(id)))));
  await changed();
}

/** Deletes what other accounts left: it is never sent, least of all as this one's. */
export async function forgetOthers() {
  await forget((row) => row.account !== account);
}

/** Deletes what was kept too long ago, and counts the steps and positions of anybody that are left. */
export async function countLeft() {
  await forget((row) => Date.now() - row.at.phoneMs > WORTH_MS);
  return withRows("readonly", (rows) => result(rows.count()));
}

/** Deletes everything, of all accounts. */
export function forgetAll() {
  indexedDB.deleteDatabase(NAME);
}

/** Whether this browser has kept anything at all; asking makes no database. */
export async function isUsed() {
  // A browser that cannot say is taken to have.
  const databases = await indexedDB.databases?.();
  return databases?.some(({ name }) => name === NAME) ?? true;
}

async function forget(isForgotten) {
  await withRows("readwrite", (rows) => {
    const request = rows.openCursor();
    return new Promise((resolve, reject) => {
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor) return resolve();
        if (isForgotten(cursor.value)) cursor.delete();
        cursor.continue();
      };
    });
  });
}
