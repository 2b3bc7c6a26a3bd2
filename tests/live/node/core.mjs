// Calls functions of std.js as tests/test_widgets_node.py asks for them: JSON in, JSON out.
import { readFileSync } from "node:fs";

// A browser takes std.js for a module because the page says so; node goes by the file's name.
const source = readFileSync(process.argv[2]).toString("base64");
const core = await import(`data:text/javascript;base64,${source}`);

const answers = JSON.parse(readFileSync(0, "utf8")).map(([name, ...values]) => {
  const given = values.map((value) => (value?.field ? Float64Array.from(value.field) : value));
  const value = typeof core[name] === "function" ? core[name](...given) : core[name];
  // Energies come back in the list that was handed in.
  return { value: ArrayBuffer.isView(value) ? Array.from(value) : value, last: values.at(-1) };
});
process.stdout.write(JSON.stringify(answers));
