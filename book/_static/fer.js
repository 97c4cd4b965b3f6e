// Paper is white: a page that is read in the dark is printed in the light.
(() => {
  let theme = null;
  addEventListener("beforeprint", () => {
    theme = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    if (theme) document.documentElement.dataset.theme = theme;
  });
})();

// For those who hear the page, or go through it by keys: a folded cell is called by its own title (not the label that
// myst-nb gives all of them), sources are no "list" (it holds links that no list may), and what scrolls sideways can be
// reached: the theme sees to listings and cells' output, not to tables of the text and formulas.
addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("summary[aria-label]").forEach((title) => title.removeAttribute("aria-label"));
  document.querySelectorAll(".citation-list[role]").forEach((list) => list.removeAttribute("role"));
});
(() => {
  const reach = () =>
    document.querySelectorAll(".pst-scrollable-table-container, mjx-container[display]").forEach((box) => {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    });
  addEventListener("load", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(reach));
  addEventListener("resize", reach);
})();
