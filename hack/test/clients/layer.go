package clients

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"egress.scw/hack/test/clients/matrix"
)

// resolvConf is the file that the kubelet writes for a pod.
const resolvConf = "search " + matrix.Namespace + ".svc." + matrix.Domain + " svc." + matrix.Domain + " " + matrix.Domain +
	"\nnameserver " + nameServer + "\noptions ndots:5\n"

// hostsFile is the file that the kubelet writes for a pod.
const hostsFile = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" + matrix.OwnIP + "\t" + matrix.Hostname + "\n"

// layer makes the folder of the files that lie above the root filesystem: those of
// a pod, and the programs of the clients, compiled.
func layer(ctx context.Context, folder string, root *root) error {
	for name, content := range map[string]string{"etc/resolv.conf": resolvConf, "etc/hosts": hostsFile} {
		name = filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return err
		}
	}
	programs := filepath.Join(folder, matrix.Programs)
	if err := os.CopyFS(programs, os.DirFS("programs")); err != nil {
		return err
	}
	if err := compileGo(ctx, filepath.Join(programs, "go", "clients")); err != nil {
		return err
	}
	return compileJava(ctx, root, filepath.Join(programs, "java"))
}

func compileGo(ctx context.Context, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-o", binary, ".")
	cmd.Dir = filepath.Join("programs", "go")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	return output(cmd)
}

// javac runs the compiler of the root filesystem, in a mount namespace of its own,
// with which its mounts disappear.
const javac = `
mount -t proc proc "$1/proc"
mount --bind "$2" "$1/mnt"
exec chroot "$1" sh -c "javac -d /mnt -cp '/usr/share/java/*' /mnt/*.java"`

func compileJava(ctx context.Context, root *root, folder string) error {
	return output(exec.CommandContext(ctx, "unshare", "--mount", "sh", "-euc", javac, "sh", root.path(), folder))
}
