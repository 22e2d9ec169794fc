package docs_test

import (
	"strings"
	"testing"

	"egress.scw/hack/test/clients/matrix"
)

// The page of the clients is that of their rows, and the README has its summary.
func TestClientsAreDocumented(t *testing.T) {
	clients, err := matrix.Clients()
	if err != nil {
		t.Fatal(err)
	}
	const file = "docs/reference/clients.md"
	if read(t, file) != matrix.Page(clients) {
		t.Errorf("%s differs from the rows of the clients: make generate", file)
	}
	words := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	if summary := words(matrix.Summary(clients)); !strings.Contains(words(read(t, "README.md")), summary) {
		t.Errorf("README.md lacks the summary of the clients: %s", summary)
	}
}
