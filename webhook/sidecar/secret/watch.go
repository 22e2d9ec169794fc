package secret

import (
	"context"
	"time"
)

// interval is the time between two readings of the files. Kubelets take a minute to
// write a changed Secret.
const interval = 2 * time.Second

// Watch calls a function with the files, and each time that they have changed, until
// the context ends. It gives either a content or an error.
func Watch(ctx context.Context, folder string, changed func(*Content, error)) {
	content, last, err := Load(folder)
	changed(content, err)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		content, digest, err := Load(folder)
		if digest != last {
			last = digest
			changed(content, err)
		}
	}
}
