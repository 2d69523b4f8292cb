// Work that goes on elsewhere: the bar moves as it does, and when it ends the page shows what came of it.
"use strict";
const job = document.querySelector(".job");
async function look() {
  try {
    const answer = await fetch(job.dataset.state, { headers: { Accept: "application/json" } });
    const told = answer.ok ? await answer.json() : null;
    if (!told || !["asked", "running"].includes(told.state)) {
      location.reload();
      return;
    }
    job.querySelector("progress").value = told.percent;
    job.querySelector(".job-bar").setAttribute("aria-valuenow", told.percent);
    job.querySelector(".job-words span").textContent = told.words;
    job.querySelector(".job-words b").textContent = `${told.percent}%`;
  } catch {
    // The network may come back.
  }
  setTimeout(look, 1000);
}
if (job) setTimeout(look, 700);
