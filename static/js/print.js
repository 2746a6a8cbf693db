// Prints the page: the button with data-print.

document.querySelector("[data-print]").addEventListener("click", () => window.print());
