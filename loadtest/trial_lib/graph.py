"""A graph of samples as SVG: one panel for each column, one line in it."""

WIDTH, HEIGHT, LEFT, TOP, GAP = 860, 110, 110, 40, 34
INK, FAINT, LINE = "#333", "#ddd", "#1565c0"


def draw(title, rows, panels, warm_until):
    """`panels`: (heading, function of a row). What lies before `warm_until` seconds is shaded."""
    end = max(rows[-1]["seconds"], 1)
    height = TOP + len(panels) * (HEIGHT + GAP) + 20
    across = lambda seconds: LEFT + seconds / end * (WIDTH - LEFT - 20)  # noqa: E731
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{title}</text>',
    ]
    for number, (heading, value) in enumerate(panels):
        parts += panel(TOP + number * (HEIGHT + GAP), heading, [(row["seconds"], value(row)) for row in rows], across, warm_until)
    for minute in range(0, int(end // 60) + 1, max(1, int(end // 600))):
        parts.append(f'<text x="{across(minute * 60):.0f}" y="{height - 8}" text-anchor="middle">{minute} min</text>')
    return "\n".join([*parts, "</svg>\n"])


def panel(top, heading, points, across, warm_until):
    most = max(value for _, value in points) * 1.1 or 1
    down = lambda value: top + 16 + (HEIGHT - 16) * (1 - value / most)  # noqa: E731
    right, bottom = WIDTH - 20, top + HEIGHT
    line = " ".join(f"{across(seconds):.1f},{down(value):.1f}" for seconds, value in points)
    yield f'<rect x="{LEFT}" y="{top + 16}" width="{across(warm_until) - LEFT:.1f}" height="{HEIGHT - 16}" fill="#f2f2f2"/>'
    yield f'<text x="{LEFT}" y="{top + 10}">{heading}</text>'
    for share in (0, 0.5, 1):
        value = most / 1.1 * share
        yield f'<path d="M{LEFT} {down(value):.1f}H{right}" stroke="{FAINT}"/>'
        yield f'<text x="{LEFT - 8}" y="{down(value) + 4:.1f}" text-anchor="end">{value:,.0f}</text>'
    yield f'<path d="M{LEFT} {top + 16}V{bottom}H{right}" fill="none" stroke="{INK}"/>'
    yield f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="1.5"/>'
