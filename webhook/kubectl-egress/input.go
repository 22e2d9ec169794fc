package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"egress.scw/webhook/kubectl-egress/audit"
)

// lines are counts of the lines of an input.
type lines struct {
	// malformed is the number of lines that are no audit lines.
	malformed int
	// ofTenant is the number of lines of the command's tenant.
	ofTenant int
	tenants  audit.Tenants
}

// unnamed is the message about an input without a line of the tenant.
func (l *lines) unnamed(tenant string) string {
	return fmt.Sprintf("no line of the input names the tenant %s; tenants in it: %s", tenant, l.tenants.String())
}

// count returns a function that counts each record, and passes on those of the tenant.
func (l *lines) count(tenant string, visit func(*audit.Record) error) func(*audit.Record) error {
	return func(record *audit.Record) error {
		l.tenants.Add(record.Tenant)
		if record.Tenant != tenant {
			return nil
		}
		l.ofTenant++
		return visit(record)
	}
}

// readRecords calls a function for each audit line of the tenant in the files, or in the
// standard input without files.
func (a *app) readRecords(command *cobra.Command, tenant string, files []string, visit func(*audit.Record) error) (lines, error) {
	if len(files) == 0 {
		files = []string{stdinFile}
		if a.inputTerminal {
			fmt.Fprintf(a.stderr, "Reading audit lines from the standard input until its end (Ctrl-D). To read a file: %s %s audit.log\n", command.CommandPath(), tenant)
		}
	}
	var all lines
	visit = all.count(tenant, visit)
	for _, file := range files {
		malformed, err := a.eachRecord(command.Context(), file, visit)
		all.malformed += malformed
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// stdinFile stands for the standard input.
const stdinFile = "-"

// eachRecord calls a function for each audit line of a file. It returns the number of
// lines that are no audit lines.
func (a *app) eachRecord(ctx context.Context, file string, visit func(*audit.Record) error) (malformed int, err error) {
	var input io.Reader
	if file == stdinFile {
		input = untilDone(ctx, a.stdin)
	} else {
		opened, err := os.Open(file) //nolint:gosec // the user names the file
		if err != nil {
			return 0, err
		}
		defer func() { _ = opened.Close() }() // it was only read
		input = opened
	}
	reader := audit.NewReader(input)
	for record := range reader.Records() {
		if err := ctx.Err(); err != nil {
			return reader.Malformed, err
		}
		if err := visit(record); err != nil {
			return reader.Malformed, err
		}
	}
	if err := reader.Err(); err != nil {
		return reader.Malformed, fmt.Errorf("reading %s: %w", file, err)
	}
	return reader.Malformed, nil
}

// untilDone returns a reader of the input that fails when the context ends. A read from
// a terminal does not end by itself after Ctrl-C, which this program handles.
func untilDone(ctx context.Context, input io.Reader) io.Reader {
	reader, writer := io.Pipe()
	stop := context.AfterFunc(ctx, func() { _ = writer.CloseWithError(ctx.Err()) }) // never an error
	go func() {
		_, err := io.Copy(writer, input)
		stop()
		_ = writer.CloseWithError(err) // never an error; nil is the end of the input
	}()
	return reader
}
