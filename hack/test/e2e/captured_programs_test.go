package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"egress.scw/hack/local/environment"
	"egress.scw/hack/test/clients/matrix"
)

// capturedProgram is a program that reads no proxy variables.
type capturedProgram struct {
	id, name string
	// host and port are those of a server whose host is in the tenant's list.
	host string
	port int
	// words are the words of a command of the shell, in which {host} stands for a host.
	words []string
	// prints is the output if the server answers. Empty: the exit status suffices.
	prints string
}

// capturedIDs are the rows of the clients of the web, as far as there are rows for
// Debian's packages.
func capturedIDs() []string { return []string{"java-http-client", "php-streams", "python-aiohttp"} }

// capturedPrograms returns the clients of the servers, and those of the web by HTTPS and
// by HTTP.
func capturedPrograms(t *testing.T) []capturedProgram {
	t.Helper()
	const (
		// A certificate for another name would be an error.
		database = "host={host} user=postgres sslmode=verify-full sslrootcert=/etc/ssl/certs/ca-certificates.crt connect_timeout=60"
		version  = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
	)
	programs := []capturedProgram{
		{"psql", "psql (libpq with TLS)", environment.ServersName, 5432, []string{"psql", database, "--no-align", "--tuples-only", "--command", version}, "TLSv1.3"},
		{"redis-cli", "redis-cli", environment.ServersName, 6379, []string{"redis-cli", "-h", "{host}", "PING"}, "PONG"},
		{"ssh", "ssh", environment.ServersName, 22, []string{"ssh", "-o", "BatchMode=yes", "{host}", "echo", "from", "the", "server"}, "from the server"},
	}
	web := map[string][]string{
		"go-net-http-without-proxy": {matrix.Programs + "/ignoring", "net-http", "{url}"},
		"go-fasthttp":               {matrix.Programs + "/ignoring", "fasthttp", "{url}"},
		"node-18-fetch":             {"nodejs", matrix.Programs + "/node/clients.mjs", "fetch", "{url}"},
	}
	clients, err := matrix.Select(capturedIDs()...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range clients {
		web[clients[i].ID] = clients[i].Run
	}
	for id, words := range web {
		for scheme, port := range map[string]int{"https": 443, "http": 80} {
			command := slices.Clone(words)
			for i := range command {
				command[i] = strings.ReplaceAll(command[i], "{url}", scheme+"://{host}/")
			}
			programs = append(programs, capturedProgram{id, id + " by " + scheme, environment.IPEchoName, port, command, ""})
		}
	}
	slices.SortFunc(programs, func(a, b capturedProgram) int { return strings.Compare(a.name, b.name) })
	return programs
}

// command is the command of the shell for a host.
func (p capturedProgram) command(host string) string {
	quotedWords := make([]string, len(p.words))
	for i, word := range p.words {
		quotedWords[i] = quoted(strings.ReplaceAll(word, "{host}", host))
	}
	return strings.Join(quotedWords, " ")
}

// quoted returns one word of the shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// run runs the program in a pod. The error is that of the program, or that of its output.
func (p capturedProgram) run(t *testing.T, namespace, pod, host string) (printed string, err error) {
	t.Helper()
	printed, err = kubectl(t.Context(), "--namespace="+namespace, "exec", pod, "--", "timeout", "--signal=KILL", "60", "sh", "-c", p.command(host)+" 2>&1 </dev/null")
	printed = strings.TrimSpace(printed)
	if err == nil && p.prints != "" && printed != p.prints {
		err = fmt.Errorf("it prints %q, and not %q", printed, p.prints)
	}
	return printed, err
}

// arrivedAtServers returns the number of packets for the programs' targets that did not
// come from the proxy.
func arrivedAtServers(t *testing.T) (count uint64) {
	t.Helper()
	for _, port := range []uint16{22, 80, 443, 5432, 6379} {
		count += arrivedAt(t, "tcp", netip.AddrPortFrom(shared.Plan.Echoes[0], port))
	}
	return count
}
