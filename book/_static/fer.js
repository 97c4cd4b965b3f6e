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
