package main

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Measures of a picture, in pixels. The font's characters are 0.6 of its size wide.
const (
	fontSize   = 13
	charWidth  = 7.83
	lineHeight = 19
	margin     = 18
)

// style colours the picture by the theme of the page that shows it. The classes are the
// colours of ECMA-48 that bootstrap uses.
const style = `
    .page { fill: #ffffff; stroke: #dfe2ec; }
    text { fill: #1a1d2e; font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", "DejaVu Sans Mono", monospace; white-space: pre; }
    .prompt { fill: #5a6079; }
    .c31 { fill: #b0202b; } .c32 { fill: #08704a; } .c33 { fill: #855300; }
    @media (prefers-color-scheme: dark) {
      .page { fill: #14161f; stroke: #2c3042; }
      text { fill: #e9ebf4; }
      .prompt { fill: #a0a6bd; }
      .c31 { fill: #ff8f8f; } .c32 { fill: #5fd6a4; } .c33 { fill: #f2c063; }
    }
`

// coloured is a part of a line in a colour of ECMA-48.
var coloured = regexp.MustCompile("\x1b\\[(3[1-3])m(.*?)\x1b\\[0m")

// terminalSVG draws the output of a command, below the line with the command.
func terminalSVG(command, output string) []byte {
	lines := strings.Split(output, "\n")
	width := utf8.RuneCountInString(command)
	for _, line := range lines {
		width = max(width, utf8.RuneCountInString(coloured.ReplaceAllString(line, "$2")))
	}
	pixels := int(float64(width)*charWidth) + 2*margin
	height := (len(lines)+2)*lineHeight + 2*margin - lineHeight/2

	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n", pixels, height, pixels, height)
	fmt.Fprintf(&svg, "  <title>%s</title>\n  <style>%s  </style>\n", html.EscapeString(strings.TrimPrefix(command, "$ ")), style)
	fmt.Fprintf(&svg, `  <rect class="page" x="0.5" y="0.5" width="%d" height="%d" rx="8"/>`+"\n", pixels-1, height-1)
	y := margin + fontSize
	text := func(class, content string) {
		fmt.Fprintf(&svg, `  <text x="%d" y="%d"%s xml:space="preserve">%s</text>`+"\n", margin, y, class, content)
		y += lineHeight
	}
	text(` class="prompt"`, html.EscapeString(command))
	y += lineHeight / 2
	for _, line := range lines {
		if line != "" {
			text("", coloured.ReplaceAllString(html.EscapeString(line), `<tspan class="c$1">$2</tspan>`))
		} else {
			y += lineHeight
		}
	}
	svg.WriteString("</svg>\n")
	return []byte(svg.String())
}
