package stopwatch_test

import (
	"testing"
	"time"

	"egress.scw/hack/test/stopwatch"
)

func TestElapsedIsAtMostTheTimePassed(t *testing.T) {
	before := time.Now()
	watch := stopwatch.Start()
	time.Sleep(50 * time.Millisecond)
	if got, bound := watch.Elapsed(), time.Since(before); got > bound {
		t.Errorf("%s, and %s have passed", got, bound)
	}
}
