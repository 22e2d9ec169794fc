package kubectl

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// input is the standard input of a command, of which a file is made if the command reads
// manifests from it.
type input struct {
	stdin io.Reader

	mu   sync.Mutex
	file string // path of the file, or empty
}

// use replaces the file name "-" in the flags of a command by that of a file: for "-",
// the library reads the standard input of the process.
func (i *input) use(command *cobra.Command) error {
	flag := command.Flags().Lookup("filename")
	if flag == nil {
		return nil
	}
	names, isSlice := flag.Value.(pflag.SliceValue)
	if !isSlice {
		return nil
	}
	replaced := names.GetSlice()
	at := slices.Index(replaced, "-")
	if at < 0 {
		return nil
	}
	file, err := i.write()
	if err != nil {
		return err
	}
	replaced[at] = file
	return names.Replace(replaced)
}

func (i *input) write() (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	file, err := os.CreateTemp("", "egress-kubectl-*.yaml")
	if err != nil {
		return "", err
	}
	i.file = file.Name()
	_, err = io.Copy(file, i.stdin)
	return i.file, errors.Join(err, file.Close())
}

// remove removes the file.
func (i *input) remove() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.file != "" {
		_ = os.Remove(i.file) // a later test does not depend on it
	}
}

// named returns a message of kubectl with its name of the standard input in place of the
// file's.
func (i *input) named(message string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.file == "" {
		return message
	}
	return strings.ReplaceAll(message, i.file, "STDIN")
}
