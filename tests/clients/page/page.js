// Many small resources, as pages have them; the page is loaded when all of them are.
for (let number = 0; number < 60; number++) {
  const dot = new Image();
  dot.src = `dot.svg?${number}`;
  document.getElementById('dots').append(dot);
}
