package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/kubectl-egress/audit"
	"egress.scw/webhook/kubectl-egress/table"
)

// logsOptions are the flags of the command logs.
type logsOptions struct {
	follow   bool
	verdicts []string
	rules    []string
	host     string
	since    time.Duration
}

func newLogsCommand(a *app) *cobra.Command {
	var o logsOptions
	command := &cobra.Command{
		Use:   "logs TENANT [FILE...]",
		Short: "Show the lines of a tenant in an audit log",
		Long: `Read lines of the audit log, and print those of the tenant in columns: time, verdict,
rule, method, destination, status, source address, bytes to the client and duration.

Files are the proxy's /var/log/squid/audit.log and its rotated files, or exports of the
log server, with or without the header of syslog, also compressed by gzip; without files,
the standard input. With --follow, one file is read on as it grows, also after its
rotation.

Exit codes: 0 the input has lines of the tenant, even if the flags select none of them,
1 it has none, 2 an error.`,
		Example: `  # of the proxy, as they are written
  ssh root@PROXY tail -F /var/log/squid/audit.log | kubectl egress logs client-a

  # what was denied in the last hour
  kubectl egress logs client-a --verdict denied,terminated --since 1h audit.log

  # a file of the log server, as it grows; whole lines for other programs
  kubectl egress logs client-a --follow /var/log/egress/audit.log -o json`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeTenantAndFiles,
		RunE: func(command *cobra.Command, args []string) error {
			if o.follow && len(args) != 2 {
				return errors.New("--follow needs one file; the standard input is followed anyway")
			}
			selects, err := o.selects(time.Now())
			if err != nil {
				return err
			}
			shown := 0
			show := func(record *audit.Record) error {
				if !selects(record) {
					return nil
				}
				shown++
				return a.printRecord(record)
			}
			read, err := a.readLogs(command, args[0], args[1:], o.follow, show)
			if read.malformed > 0 {
				fmt.Fprintf(a.stderr, "%d lines are no audit lines\n", read.malformed)
			}
			switch {
			case err != nil:
				return err
			case read.ofTenant == 0:
				fmt.Fprintln(a.stderr, read.unnamed(args[0]))
				return errNegative
			case shown == 0:
				fmt.Fprintf(a.stderr, "the flags select none of the %d lines of the tenant %s\n", read.ofTenant, args[0])
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.BoolVar(&o.follow, "follow", false, "read the file on as it grows")
	flags.StringSliceVar(&o.verdicts, "verdict", nil, "only these `verdicts`: allowed, denied, would-deny, terminated, or - for connections without a request that could be parsed")
	flags.StringSliceVar(&o.rules, "rule", nil, "only these `rules`, as in domain,port,sni")
	flags.StringVar(&o.host, "host", "", "only this `domain`, as in an allow list: a leading dot covers all names below it")
	flags.DurationVar(&o.since, "since", 0, "only lines of the last `duration`, such as 1h")
	a.addOutput(command, outputWide, outputJSON)
	return command
}

func verdicts() []string {
	return []string{string(policy.VerdictAllowed), string(policy.VerdictDenied), string(policy.VerdictWouldDeny), string(policy.VerdictTerminated), "-"}
}

// selects returns whether a record of the tenant is to be shown. Every fault of the flags
// is in the error.
func (o *logsOptions) selects(now time.Time) (func(*audit.Record) bool, error) {
	var errs []error
	for _, verdict := range o.verdicts {
		if !slices.Contains(verdicts(), verdict) {
			errs = append(errs, fmt.Errorf("--verdict: is %q, must be one of %s", verdict, strings.Join(verdicts(), ", ")))
		}
	}
	var domain policy.Domain
	if o.host != "" {
		var err error
		if domain, err = policy.ParseDomain(o.host); err != nil {
			errs = append(errs, fmt.Errorf("--host: %q %w", o.host, err))
		}
	}
	if o.since < 0 {
		errs = append(errs, fmt.Errorf("--since: is %s, must not be negative", o.since))
	}
	return func(r *audit.Record) bool {
		switch {
		case len(o.verdicts) > 0 && !slices.Contains(o.verdicts, string(r.Verdict)),
			len(o.rules) > 0 && !slices.Contains(o.rules, string(r.Rule)),
			o.since > 0 && r.Start().Before(now.Add(-o.since)):
			return false
		}
		return o.host == "" || covers(domain, r.Host) || covers(domain, r.SNI)
	}, errors.Join(errs...)
}

func covers(domain policy.Domain, host string) bool {
	name, err := policy.ParseDomain(host)
	return err == nil && domain.Covers(name)
}

// printRecord prints a line at once, so that columns have fixed widths.
func (a *app) printRecord(r *audit.Record) error {
	if a.output == outputJSON {
		_, err := a.stdout.Write(append(slices.Clone(r.Line), '\n'))
		return err
	}
	verdict := string(r.Verdict)
	colour := map[policy.Verdict]table.Colour{
		policy.VerdictAllowed: table.Green, policy.VerdictWouldDeny: table.Yellow,
		policy.VerdictDenied: table.Red, policy.VerdictTerminated: table.Red,
	}[r.Verdict]
	if r.Rule != "-" {
		verdict += " " + string(r.Rule)
	}
	line := fmt.Sprintf("%s  %s  %-7s %s:%s", r.Time, a.paint().In(colour, fmt.Sprintf("%-28s", verdict)), r.Method, r.Host, r.HostPort)
	if r.SNI != "-" && r.SNI != r.Host {
		line += " sni " + r.SNI
	}
	line += fmt.Sprintf("  status %d  from %s  %s  %s", r.Status, r.Egress, bytesText(r.BytesSent), (time.Duration(r.DurationMillis) * time.Millisecond).String())
	if a.output == outputWide {
		line += fmt.Sprintf("  client %s  server %s  result %s  error %s", r.Client, r.Server, r.Result, r.Error)
	}
	_, err := io.WriteString(a.stdout, line+"\n")
	return err
}

// bytesText returns a number of bytes with a binary prefix.
func bytesText(n int64) string {
	const unit = 1024
	for _, prefix := range []string{"B", "KiB", "MiB"} {
		if n < 10*unit {
			return strconv.FormatInt(n, 10) + " " + prefix
		}
		n /= unit
	}
	return strconv.FormatInt(n, 10) + " GiB"
}

// readLogs reads the inputs. With follow, it returns when the context ends.
func (a *app) readLogs(command *cobra.Command, tenant string, files []string, follow bool, show func(*audit.Record) error) (read lines, err error) {
	if !follow {
		return a.readRecords(command, tenant, files, show)
	}
	tail, err := newTail(command.Context(), files[0])
	if err != nil {
		return read, err
	}
	defer func() { err = errors.Join(err, tail.Close()) }()
	show = read.count(tenant, show)
	reader := audit.NewReader(tail)
	for record := range reader.Records() {
		if err = show(record); err != nil || command.Context().Err() != nil {
			break
		}
	}
	read.malformed = reader.Malformed
	return read, errors.Join(err, reader.Err())
}

// tail reads a file on as it grows, and its successor of the same name after a rotation.
type tail struct {
	ctx  context.Context // an io.Reader has no other place for it
	name string
	file *os.File
}

// tailInterval is the pause before a file is read again that has not grown.
const tailInterval = 200 * time.Millisecond

func newTail(ctx context.Context, name string) (*tail, error) {
	file, err := os.Open(name) //nolint:gosec // the user names the file
	if err != nil {
		return nil, err
	}
	head := make([]byte, 2)
	if _, err := file.ReadAt(head, 0); err == nil && audit.IsCompressed(head) {
		return nil, errors.Join(fmt.Errorf("--follow: %s is compressed, and does not grow: leave the flag out", name), file.Close())
	}
	return &tail{ctx, name, file}, nil
}

func (t *tail) Close() error { return t.file.Close() }

// Read returns io.EOF once the context has ended.
func (t *tail) Read(buffer []byte) (int, error) {
	for {
		n, err := t.file.Read(buffer)
		if n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
		rotated, err := t.reopen()
		if err != nil {
			return 0, err
		}
		if rotated {
			continue
		}
		select {
		case <-t.ctx.Done():
			return 0, io.EOF
		case <-time.After(tailInterval):
		}
	}
}

// reopen opens the file again if the name has another one, or if it was truncated.
func (t *tail) reopen() (bool, error) {
	position, err := t.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return false, err
	}
	current, err := t.file.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(t.name)
	if err != nil {
		return false, nil //nolint:nilerr // between the two steps of a rotation, there is no file
	}
	switch {
	case os.SameFile(current, named) && current.Size() < position:
		_, err := t.file.Seek(0, io.SeekStart)
		return true, err
	case os.SameFile(current, named):
		return false, nil
	}
	// Lines may have been written to the old file since it was last read.
	if current.Size() > position {
		return true, nil
	}
	next, err := os.Open(t.name)
	if err != nil {
		return false, nil //nolint:nilerr // as above
	}
	_ = t.file.Close()
	t.file = next
	return true, nil
}
