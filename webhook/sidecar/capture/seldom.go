package capture

import (
	"log/slog"
	"sync"
	"time"
)

// seldomEvery is the shortest time between two equal messages of seldom.
const seldomEvery = 10 * time.Second

// seldom logs a message that programs can cause as often as they like. It leaves most of
// them out, and counts them.
type seldom struct {
	lock sync.Mutex
	last time.Time
	more int
}

func (s *seldom) warn(log *slog.Logger, now time.Time, message string, args ...any) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if !s.last.IsZero() && now.Sub(s.last) < seldomEvery {
		s.more++
		return
	}
	log.Warn(message, append(args, "moreSinceLast", s.more)...)
	s.last, s.more = now, 0
}
