// What was pressed by a mouse lets the focus go: otherwise Space would press it again, and Space
// has another meaning while fine classes are assigned.
addEventListener("click", ({ detail, target }) => {
  const pressed = target.closest("button, [role=switch]");
  if (detail && pressed?.contains(document.activeElement)) document.activeElement.blur();
});
