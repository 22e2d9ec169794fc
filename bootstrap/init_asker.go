package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// asker asks questions on the terminal.
type asker struct {
	program *program
	lines   *bufio.Reader
}

func newAsker(p *program) *asker { return &asker{p, bufio.NewReader(p.stdin)} }

// answer asks a question. An empty answer is the default.
func (a *asker) answer(ctx context.Context, text, otherwise string) (string, error) {
	if otherwise != "" {
		text += " [" + otherwise + "]"
	}
	a.program.prompt(text + ": ")
	type line struct {
		text string
		err  error
	}
	read := make(chan line, 1)
	// A read from a terminal cannot be cancelled, as in program.ask.
	go func() {
		text, err := a.lines.ReadString('\n')
		read <- line{strings.TrimSpace(text), err}
	}()
	select {
	case <-ctx.Done():
		a.program.prompt("\n")
		return "", context.Cause(ctx)
	case got := <-read:
		switch {
		case got.text != "":
			return got.text, nil
		case got.err != nil:
			return "", fmt.Errorf("standard input ended before the answer to %q: nothing was changed", text)
		default:
			return otherwise, nil
		}
	}
}

// yes asks a question whose answer is no unless it begins with y.
func (a *asker) yes(ctx context.Context, text string) (bool, error) {
	answer, err := a.answer(ctx, text+" (y or n)", "n")
	return strings.HasPrefix(strings.ToLower(answer), "y"), err
}

// readSecret returns a function that reads a line from a terminal without echo. The
// read cannot be cancelled: when the context ends, the terminal gets its echo back and
// the goroutine is abandoned. That goroutine has a descriptor of its own: at its end it
// restores the terminal, which with the number of a closed descriptor could be another
// file.
func readSecret(terminal *os.File) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		fd := int(terminal.Fd())
		before, err := term.GetState(fd)
		if err != nil {
			return "", err
		}
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return "", fmt.Errorf("duplicating the descriptor of the terminal: %w", err)
		}
		type answer struct {
			text []byte
			err  error
		}
		read := make(chan answer, 1)
		go func() {
			text, err := term.ReadPassword(own)
			read <- answer{text, errors.Join(err, unix.Close(own))}
		}()
		select {
		case <-ctx.Done():
			return "", errors.Join(context.Cause(ctx), term.Restore(fd, before))
		case got := <-read:
			return string(got.text), got.err
		}
	}
}
