// jobs.js -- all jobs of the project, live.
import { get, place } from "../lib/api.js";
import { ago, count, percent } from "../lib/format.js";
import { link } from "../lib/route.js";
import { Badge, Empty, Failure, Loading, Meter, html, useLoad } from "../lib/ui.js";

const idOf = (job) => job.name.split("/").pop();

export function Jobs() {
  const list = useLoad((signal) => get(place("batchPredictionJobs?pageSize=100"), { signal }), [], 5000);
  const jobs = list.data?.batchPredictionJobs || [];
  if (list.loading && !list.data) return html`<${Loading} />`;
  if (list.error && !list.data) return html`<${Failure} error=${list.error} retry=${list.reload} />`;
  if (!jobs.length) return html`<${Empty} title="No jobs yet"><p>Hand over a file or a table of requests.</p></${Empty}>`;
  return html`<h1>Jobs</h1><table><thead><tr><th>Job</th><th>State</th><th>Progress</th><th>Model</th><th>Created</th></tr></thead>
    <tbody>${jobs.map((job) => {
      const stats = job.completionStats || {};
      const done = Number(stats.successfulCount || 0);
      const failed = Number(stats.failedCount || 0);
      const total = done + failed + Math.max(0, Number(stats.incompleteCount || 0));
      return html`<tr key=${job.name}>
        <td><a href=${link(["jobs", idOf(job)])}>${job.displayName || idOf(job)}</a></td>
        <td><${Badge} of=${job.state} /></td>
        <td><${Meter} done=${done} failed=${failed} total=${total} label="Lines done" /> ${percent(done + failed, total)} of ${count(total)}</td>
        <td>${job.model.split("/").pop()}</td><td>${ago(job.createTime)}</td></tr>`;
    })}</tbody></table>`;
}
