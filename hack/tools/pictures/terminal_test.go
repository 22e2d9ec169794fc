package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestTerminalSVG draws colours, and characters that XML reserves.
func TestTerminalSVG(t *testing.T) {
	svg := string(terminalSVG("$ plan", "a <b> & c\n\n  \x1b[32m+\x1b[0m   vpc"))
	for _, want := range []string{
		`<title>plan</title>`, `class="prompt" xml:space="preserve">$ plan</text>`, `>a &lt;b&gt; &amp; c</text>`,
		`>  <tspan class="c32">+</tspan>   vpc</text>`, `width="106"`,
	} {
		if !strings.Contains(svg, want) {
			t.Errorf("the picture lacks %s:\n%s", want, svg)
		}
	}
	if strings.Contains(svg, "\x1b") {
		t.Error("a control character is in the picture")
	}
	for decoder := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("the picture is not XML: %v", err)
		}
	}
}
