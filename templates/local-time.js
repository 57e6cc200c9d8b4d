"use strict";
// Adds the reader's own time behind each time of the page, where their clock shows another than the newsroom's.
{
  const newsroom = document.currentScript.dataset.zone;
  const reading = (at, timeZone) => [
    new Intl.DateTimeFormat("en-GB", { timeZone, day: "numeric", month: "short", year: "numeric" }).format(at),
    new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(at),
  ];
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const [day, clock] = reading(at);
    let there = [];
    try {
      there = reading(at, newsroom);
    } catch {
      // A browser that does not know the zone: both are shown.
    }
    if (day === there[0] && clock === there[1]) continue;
    const own = document.createElement("span");
    own.className = "own";
    own.lang = "en";
    own.dir = "ltr";
    own.textContent = (day === there[0] ? "" : day + ", ") + clock + " your time";
    time.after(" ", own);
  }
}
