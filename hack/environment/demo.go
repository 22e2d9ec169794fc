package environment

import (
	"context"
	"io"

	"egress.scw/hack/progress"
)

func Demo(ctx context.Context, log *progress.Log, w io.Writer) error { return nil }
