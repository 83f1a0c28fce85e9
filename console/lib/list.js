// list.js -- a list of any length of which only the rows in sight exist. A row has one height. Browsers end at some 30
// million pixels, so a longer list is scrolled in proportion.
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "./ui.js";

const PIXELS_MAX = 15_000_000;
const OVERSCAN = 8;

// row(index): what stands there. onRange(first, end): the rows now in sight. head: stays above them. reveal: a row that
// must be in sight.
export function VirtualList({ count, height, row, onRange, head, reveal, className = "", ...more }) {
  const box = useRef();
  const [at, set] = useState({ top: 0, room: 600 });
  useEffect(() => {
    const look = () => box.current && set({ top: box.current.scrollTop, room: box.current.clientHeight });
    const watch = new ResizeObserver(look);
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);

  const all = count * height;
  const shown = Math.min(all, PIXELS_MAX);
  const scale = shown > at.room ? Math.max(0, all - at.room) / (shown - at.room) : 1;
  const virtual = Math.min(at.top, Math.max(0, shown - at.room)) * scale;
  const first = Math.max(0, Math.floor(virtual / height) - OVERSCAN);
  const end = Math.min(count, Math.ceil((virtual + at.room) / height) + OVERSCAN);

  useEffect(() => onRange?.(first, end), [first, end, count]);
  useEffect(() => {
    if (reveal === undefined || reveal < 0 || !box.current) return;
    const top = reveal * height;
    const headHeight = box.current.querySelector(".vhead")?.offsetHeight || 0;
    if (top < virtual) box.current.scrollTop = top / scale;
    else if (top + height > virtual + at.room - headHeight) box.current.scrollTop = (top + height - at.room + headHeight) / scale;
  }, [reveal]);

  const rows = [];
  for (let i = first; i < end; i++) {
    rows.push(html`<div class="vrow" key=${i} role="presentation" style=${{ height: `${height}px`, transform: `translateY(${i * height - virtual + virtual / scale}px)` }}>${row(i)}</div>`);
  }
  return html`<div ref=${box} class="vlist ${className}" tabindex="0" onScroll=${(e) => set({ top: e.currentTarget.scrollTop, room: e.currentTarget.clientHeight })} ...${more}>
    ${head && html`<div class="vhead" role="presentation">${head}</div>`}
    <div class="vspace" role="presentation" style=${{ height: `${shown}px` }}>${rows}</div>
  </div>`;
}
