package node

import (
	_ "embed"
	"path/filepath"

	"egress.scw/hack/local/process"
)

//go:embed chroot.sh
var chrootScript string

// Chroot returns the command that runs a program of an image of the node's store
// outside of the node: in a copy of the image's root filesystem, with mount, process and
// IPC namespaces of its own, which end with it. files is a folder of the machine, which
// is /mnt there. The caller adds the name and the network namespace.
//
// The copy is a snapshot of containerd's: it needs no space for files that the program
// does not change. There is one at a time.
func Chroot(environment process.Environment, reference, files string, program ...string) process.Command {
	return process.Command{Path: "unshare", Args: append([]string{
		"--mount", "--pid", "--ipc", "--fork", "--kill-child", "sh", "-euc", chrootScript, "sh",
		filepath.Join(folder(environment), socket), "docker.io/" + reference, filepath.Join(string(environment), "chroot"), files,
	}, program...)}
}
