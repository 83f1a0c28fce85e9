// template.js -- a prompt with columns, as `tranche run --prompt` has it (docs/reference/tables.md), made a GoogleSQL
// expression: the service's own tables render it, for a preview of three rows and for a job of millions alike.
import { columnName, text } from "./bq.js";

export class TemplateError extends Error {}

const DEPTH_MAX = 8;

// The parts of a template: {text}, {column, json}, {when, not, parts}.
export function parse(source) {
  const stack = [{ parts: [] }];
  const top = () => stack[stack.length - 1];
  const add = (part) => {
    const last = top().parts[top().parts.length - 1];
    if (part.text !== undefined && last?.text !== undefined) last.text += part.text;
    else top().parts.push(part);
  };
  for (let at = 0; at < source.length;) {
    const two = source.slice(at, at + 2);
    if (two === "{{" || two === "}}") {
      add({ text: two[0] });
      at += 2;
    } else if (source[at] === "}") {
      throw new TemplateError(`A brace that is text is written }} (character ${at + 1}).`);
    } else if (source[at] !== "{") {
      const next = source.slice(at).search(/[{}]/);
      const end = next < 0 ? source.length : at + next;
      add({ text: source.slice(at, end) });
      at = end;
    } else {
      const found = /^\{([?!]?)(?:"((?:[^"]|"")*)"|([^{}":]+))(:json)?\}|^\{\/\}/.exec(source.slice(at));
      if (!found) throw new TemplateError(`The brace at character ${at + 1} is not closed. Write {column}, or {{ for a brace.`);
      at += found[0].length;
      const name = found[2] !== undefined ? found[2].replaceAll('""', '"') : (found[3] || "").trim();
      if (found[0] === "{/}") {
        if (stack.length === 1) throw new TemplateError("{/} closes no condition.");
        const { when, not, parts } = stack.pop();
        add({ when, not, parts });
      } else if (found[1]) {
        stack.push({ when: name, not: found[1] === "!", parts: [] });
        if (stack.length > DEPTH_MAX + 1) throw new TemplateError(`Conditions nest up to ${DEPTH_MAX}.`);
      } else {
        add({ column: name, json: !!found[4] });
      }
    }
  }
  if (stack.length > 1) throw new TemplateError(`The condition {?${top().when}} is not closed by {/}.`);
  return stack[0].parts;
}

const names = (parts) => parts.flatMap((p) => (p.parts ? [p.when, ...names(p.parts)] : p.column ? [p.column] : []));

function check(parts, columns) {
  const used = names(parts);
  const unknown = used.find((name) => !columns.some((c) => c.name === name));
  if (unknown !== undefined) throw new TemplateError(`There is no column "${unknown}". The columns are ${columns.map((c) => c.name).join(", ")}.`);
  if (!used.length) throw new TemplateError("Name a column: without one, all rows ask the same.");
}

const complex = (c) => c.mode === "REPEATED" || ["RECORD", "STRUCT", "JSON", "RANGE"].includes(c.type);
const cell = (c) => (complex(c) ? `TO_JSON_STRING(${columnName(c.name)})` : `CAST(${columnName(c.name)} AS STRING)`);
// `x`: the text; "": null and nothing are the same.
function write(parts, columns) {
  const of = (name) => columns.find((c) => c.name === name);
  const written = parts.map((p) => {
    if (p.text !== undefined) return text(p.text);
    if (p.column) return p.json ? `TO_JSON_STRING(${cell(of(p.column))})` : `IFNULL(${cell(of(p.column))}, '')`;
    const has = `IFNULL(${cell(of(p.when))}, '') ${p.not ? "=" : "!="} ''`;
    return `IF(${has}, ${write(p.parts, columns)}, '')`;
  });
  return written.length === 1 ? written[0] : written.length ? `CONCAT(${written.join(", ")})` : "''";
}

// Columns that the output can have beside the answer, each by an expression that carries it.
const RESERVED = ["request", "response", "status", "processed_time", "reused_from"];
function carried(columns) {
  return columns.map((c) => {
    const alias = RESERVED.includes(c.name.toLowerCase()) ? `${c.name}_input` : c.name;
    if (c.mode === "REPEATED" || ["RECORD", "STRUCT", "RANGE"].includes(c.type)) return `TO_JSON_STRING(${columnName(c.name)}) AS ${columnName(alias)}`;
    if (["DATETIME", "GEOGRAPHY"].includes(c.type)) return `CAST(${columnName(c.name)} AS STRING) AS ${columnName(alias)}`;
    return alias === c.name ? columnName(c.name) : `${columnName(c.name)} AS ${columnName(alias)}`;
  });
}

// SELECT that makes a request of each row. from: a table's name in SQL; more: {system, generationConfig}.
export function requestsSql(source, columns, from, more = {}) {
  const parts = parse(source);
  check(parts, columns);
  const message = `[STRUCT('user' AS role, [STRUCT(${write(parts, columns)} AS text)] AS parts)] AS contents`;
  const fields = [message];
  if (more.system) fields.push(`STRUCT([STRUCT(${text(more.system)} AS text)] AS parts) AS systemInstruction`);
  if (more.generationConfig && Object.keys(more.generationConfig).length)
    fields.push(`PARSE_JSON(${text(JSON.stringify(more.generationConfig))}) AS generationConfig`);
  return `SELECT ${[...carried(columns), `TO_JSON(STRUCT(${fields.join(", ")})) AS request`].join(", ")} FROM ${from}`;
}
