"""Bar charts as SVG, by hand: one bar a tool, groups of works, the same colours everywhere."""
import html

COLOURS = ["#1b6ca8", "#e08e45", "#5b8e7d", "#bc4b51", "#8a6fb0", "#c9a227", "#6c757d", "#3d405b"]
ROW, GAP, LEFT, WIDTH = 18, 14, 150, 760


def bars(title, unit, works, tools, values):
    """`values[work][tool]` is a number or None. Each group has a scale of its own: what matters is the ratio."""
    height = 40 + sum(GAP + ROW * (1 + sum(values[work].get(tool) is not None for tool in tools)) for work in works)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
             f'font-size="12" role="img">', f"<title>{html.escape(title)}</title>",
             '<rect width="100%" height="100%" fill="white"/>',
             f'<text x="8" y="22" font-size="15" font-weight="bold">{html.escape(title)}</text>']
    top = 40
    for work in works:
        here = {tool: values[work][tool] for tool in tools if values[work].get(tool) is not None}
        parts.append(f'<text x="8" y="{top + 12}" font-weight="bold">{html.escape(work)}</text>')
        top += ROW
        longest = max(here.values(), default=0) or 1
        for tool, value in here.items():
            length = max(1.0, (WIDTH - LEFT - 110) * value / longest)
            colour = COLOURS[tools.index(tool) % len(COLOURS)]
            parts.append(f'<text x="{LEFT - 8}" y="{top + 12}" text-anchor="end">{html.escape(tool)}</text>'
                         f'<rect x="{LEFT}" y="{top + 2}" width="{length:.1f}" height="{ROW - 5}" fill="{colour}"/>'
                         f'<text x="{LEFT + length + 6:.1f}" y="{top + 12}">{value:,.2f} {html.escape(unit)}</text>')
            top += ROW
        top += GAP
    return "\n".join([*parts, "</svg>", ""])
