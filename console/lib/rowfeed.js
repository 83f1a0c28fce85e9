// rowfeed.js -- the rows of a job that a filter keeps, a page of them at a time: by position through the index, or, for a
// text and for rows behind open lines (order "done"), by a cursor that goes on while someone looks.
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "./api.js";
import { path } from "./jobs.js";

const PAGE = 100;
const PAGES_MAX = 60; // kept at once
const FOUND_STEP = 200;

const queryOf = (filter) => new URLSearchParams(Object.entries(filter).filter(([, v]) => v !== undefined && v !== ""));
export const rowsUrl = (name, filter, more) => `${path(name)}:rows?${new URLSearchParams([...queryOf(filter), ...Object.entries(more)])}`;
export const fileUrl = (name, filter, format) => `${path(name)}:results?${new URLSearchParams([...queryOf(filter), ["format", format]])}`;

// {count, total, at(i), need(first, end), searching, when, again, error}. at(i) is the i-th matching row, undefined until it is here.
export function useRows(job, filter, every) {
  const [turn, again] = useState(0);
  const key = JSON.stringify([job.name, filter, turn]);
  const byCursor = !!filter.text || filter.order === "done";
  const [, show] = useState(0);
  const s = useRef({});
  if (s.current.key !== key) s.current = { key, pages: new Map(), asked: new Set(), count: 0, total: 0, found: [], next: 0, error: undefined, loading: true };
  const me = s.current;
  const alive = () => s.current === me;
  const draw = () => alive() && show((n) => n + 1);

  const fetchPage = async (page, signal) => {
    if (me.asked.has(page)) return;
    me.asked.add(page);
    try {
      const answer = await get(rowsUrl(job.name, filter, { first: page * PAGE, count: PAGE }), { signal });
      me.count = Number(answer.matched);
      me.total = Number(answer.total);
      me.complete = answer.complete;
      me.whole = answer.whole;
      me.error = undefined;
      me.pages.delete(page);
      me.pages.set(page, answer.rows);
      if (me.pages.size > PAGES_MAX) me.pages.delete(me.pages.keys().next().value);
    } catch (error) {
      if (error.name !== "AbortError") me.error = error;
    }
    me.asked.delete(page);
    me.loading = false;
    draw();
  };
  const search = async (signal) => {
    while (alive() && !signal.aborted && me.next !== undefined && me.found.length < (me.wanted || FOUND_STEP)) {
      try {
        const answer = await get(rowsUrl(job.name, filter, { from: me.next, count: FOUND_STEP }), { signal });
        me.found.push(...answer.rows);
        me.total = Number(answer.total);
        me.next = answer.next === undefined ? undefined : Number(answer.next);
        me.seen = me.next ?? me.total;
        me.when = Date.now();
      } catch (error) {
        if (error.name !== "AbortError") me.error = error;
        break;
      }
      me.loading = false;
      draw();
    }
    me.loading = false;
    draw();
  };

  useEffect(() => {
    const control = new AbortController();
    me.signal = control.signal;
    if (byCursor) {
      search(control.signal);
      return () => control.abort();
    }
    fetchPage(0, control.signal);
    const timer = setInterval(() => {
      // While rows come, the last page and the counts change; an index that is behind goes on with each call.
      if ((me.complete && me.whole) || document.visibilityState !== "visible") return;
      const page = Math.max(0, Math.ceil(me.count / PAGE) - 1);
      fetchPage(page, control.signal);
    }, every);
    return () => {
      control.abort();
      clearInterval(timer);
    };
  }, [key]);

  return {
    count: byCursor ? me.found.length : me.count,
    total: me.total, loading: me.loading, error: me.error, whole: me.whole !== false,
    searching: byCursor && me.next !== undefined ? me.seen || 0 : undefined,
    when: me.when, // of the cursor's last look; again() begins anew
    again: () => again((n) => n + 1),
    at: (i) => (byCursor ? me.found[i] : me.pages.get(Math.floor(i / PAGE))?.[i % PAGE]),
    need: (first, end) => {
      if (byCursor) {
        if (end + 50 > me.found.length && me.next !== undefined && me.found.length >= (me.wanted || FOUND_STEP)) {
          me.wanted = me.found.length + FOUND_STEP;
          search(me.signal);
        }
        return;
      }
      for (let page = Math.floor(first / PAGE); page <= Math.floor(Math.max(first, end - 1) / PAGE); page++)
        if (page * PAGE < me.count && (me.pages.get(page)?.length ?? 0) < Math.min(PAGE, me.count - page * PAGE)) fetchPage(page, me.signal);
    },
  };
}

// The whole row of this number, which with order "done" may stand behind open lines.
export const wholeRow = async (name, index, signal, order) =>
  (await get(rowsUrl(name, { order }, { [order ? "from" : "first"]: index, count: 1, view: "full" }), { signal })).rows[0];
