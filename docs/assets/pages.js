// A table that is wider than its page scrolls: where it does so, the keyboard reaches it, and it has a name.
addEventListener("load", () => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const wide = target.scrollWidth > target.clientWidth;
      const named = { tabindex: "0", role: "group", "aria-label": "A table that scrolls sideways" };
      for (const [name, value] of Object.entries(named)) {
        if (wide) target.setAttribute(name, value);
        else target.removeAttribute(name);
      }
    }
  });
  for (const each of document.querySelectorAll(".md-typeset__scrollwrap")) resized.observe(each);
});
// The button at an example of the reference copies its code, without prompts and without what it prints.
addEventListener("load", () => {
  for (const code of document.querySelectorAll("code:has(.gp)")) {
    const typed = code.textContent.split("\n").filter((line) => /^(>>>|\.\.\.)( |$)/.test(line));
    code.dataset.copy = typed.map((line) => line.slice(4)).join("\n");
  }
});
