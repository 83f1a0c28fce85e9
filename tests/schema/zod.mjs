// Schemas as people write them for zod. Without arguments prints each as JSON Schema, a name and a schema a
// line; `parse` reads lines of a name and a text, and prints the name of each that zod does not take.
import { createInterface } from "node:readline";
import { z } from "zod";

const person = z.object({ name: z.string().max(30), age: z.number().int().min(0).max(130) });
const tree = z.object({
  value: z.number().int().min(0).max(9),
  get children() {
    return z.array(tree).max(2);
  },
});
const schemas = {
  label: z.enum(["positive", "negative"]),
  person,
  optional: z.object({ a: z.string().max(9).optional(), b: z.number().min(0).max(1).nullable() }),
  list: z.array(person).min(1).max(2),
  union: z.object({ value: z.union([z.literal("all"), z.number().int().min(1).max(9)]) }),
  kinds: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("circle"), radius: z.number().positive().max(100) }),
    z.object({ kind: z.literal("square"), side: z.number().int().positive().max(100) }),
  ]),
  record: z.record(z.string(), z.boolean()),
  tuple: z.tuple([z.string().max(5), z.number().int().min(0).max(5)]),
  tree,
  formats: z.object({ mail: z.email(), link: z.url(), id: z.uuid(), day: z.iso.date(), at: z.iso.datetime() }),
  strict: z.strictObject({ yes: z.boolean(), word: z.string().regex(/^[a-z]{1,8}$/) }),
  steps: z.object({ half: z.number().int().multipleOf(2).min(0).max(50), text: z.string().min(2).max(9) }),
};

if (process.argv[2] === "parse") {
  for await (const line of createInterface({ input: process.stdin })) {
    const [name, text] = JSON.parse(line);
    const done = schemas[name].safeParse(JSON.parse(text));
    if (!done.success) console.log(JSON.stringify([name, text, done.error.message]));
  }
} else {
  for (const [name, schema] of Object.entries(schemas)) console.log(JSON.stringify([name, z.toJSONSchema(schema)]));
}
