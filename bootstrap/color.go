package main

// paint adds colours to text if it is true: on a terminal whose user has not
// turned colours off.
type paint bool

// painter returns the paint for a stream that is a terminal or not.
func (e environment) painter(terminal bool) paint {
	return paint(terminal && e.getenv("NO_COLOR") == "" && e.getenv("TERM") != "dumb")
}

// Colours of ECMA-48.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (p paint) in(colour, text string) string {
	if !p || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
