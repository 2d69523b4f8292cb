// The search: "/" goes to the number, empty fields are not sent.
"use strict";
const form = document.getElementById("search");
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, select, textarea")) {
    event.preventDefault();
    form.elements.number.focus();
    form.elements.number.select();
  }
});
