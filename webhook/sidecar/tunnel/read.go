package tunnel

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// maxTable is the size of the table of header fields that the proxy may use, the
// initial one of RFC 7541.
const maxTable = 4096

func newFramer(reader io.Reader) *http2.Framer {
	framer := http2.NewFramer(nil, reader)
	framer.SetMaxReadFrameSize(maxFrame)
	framer.SetReuseFrames()
	framer.ReadMetaHeaders = hpack.NewDecoder(maxTable, nil)
	framer.MaxHeaderListSize = maxHeader
	return framer
}

// readLoop handles the proxy's frames until the connection ends.
func (c *Conn) readLoop() {
	for {
		err := c.readFrame()
		var one http2.StreamError
		switch {
		case err == nil:
		case errors.As(err, &one):
			if s := c.stream(one.StreamID); s != nil {
				s.reset(one.Code, fmt.Errorf("the machine's answer is not valid: %w", err))
			}
		default:
			c.fail(fmt.Errorf("reading from the machine: %w", err))
			return
		}
	}
}

func (c *Conn) readFrame() error {
	header, err := c.frames.ReadFrameHeader()
	if err != nil {
		return err
	}
	c.lastRead.Store(int64(time.Since(c.began)))
	if header.Type == http2.FrameData {
		return c.readData(header)
	}
	frame, err := c.frames.ReadFrameForHeader(header)
	if err != nil {
		return err
	}
	switch frame := frame.(type) {
	case *http2.MetaHeadersFrame:
		if s := c.stream(frame.StreamID); s != nil {
			return s.answer(frame)
		}
	case *http2.WindowUpdateFrame:
		return c.addWindow(frame.StreamID, int64(frame.Increment))
	case *http2.SettingsFrame:
		return c.settings(frame)
	case *http2.PingFrame:
		c.ponged(frame)
	case *http2.RSTStreamFrame:
		if s := c.stream(frame.StreamID); s != nil {
			s.wasReset(frame.ErrCode)
		}
	case *http2.GoAwayFrame:
		c.goAway(frame)
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol) // was switched off
	}
	return nil
}

// readData reads a DATA frame into a buffer of the stream's queue. The whole frame,
// padding included, counts for the windows.
func (c *Conn) readData(header http2.FrameHeader) error {
	length := int(header.Length)
	buffer := takeBuffer()
	data := buffer[:length]
	if _, err := io.ReadFull(c.reader, data); err != nil {
		giveBuffer(buffer)
		return err
	}
	if header.StreamID == 0 {
		giveBuffer(buffer)
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if header.Flags.Has(http2.FlagDataPadded) {
		if length == 0 || int(data[0]) >= length {
			giveBuffer(buffer)
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		data = data[1 : length-int(data[0])]
	}
	s := c.stream(header.StreamID)
	if s == nil { // has ended on this side, while the frame was on its way
		giveBuffer(buffer)
		c.refund(nil, length)
		return nil
	}
	return s.receive(buffer, data, length, header.Flags.Has(http2.FlagDataEndStream))
}

func (c *Conn) settings(frame *http2.SettingsFrame) error {
	if frame.IsAck() {
		return nil
	}
	c.mu.Lock()
	err := frame.ForeachSetting(func(setting http2.Setting) error {
		switch setting.ID { //nolint:exhaustive // the others do not concern a client, or are taken below
		case http2.SettingMaxConcurrentStreams:
			c.maxStreams = setting.Val
		case http2.SettingInitialWindowSize:
			if err := setting.Valid(); err != nil {
				return err
			}
			for _, s := range c.streams {
				s.window += int64(setting.Val) - c.initialWindow
			}
			c.initialWindow = int64(setting.Val)
		}
		return nil
	})
	c.sendable.Broadcast()
	c.mu.Unlock()
	if err != nil {
		return err
	}
	c.writer.writeLater(func(w *writer) error {
		if size, ok := frame.Value(http2.SettingHeaderTableSize); ok {
			w.headers.SetMaxDynamicTableSize(min(size, maxTable))
		}
		return w.frames.WriteSettingsAck()
	})
	select {
	case <-c.settled:
	default:
		close(c.settled)
	}
	return nil
}

// goAway ends the streams that the proxy has not seen. The others go on.
func (c *Conn) goAway(frame *http2.GoAwayFrame) {
	var unseen []*Stream
	c.mu.Lock()
	c.leaving = true
	for id, s := range c.streams {
		if id > frame.LastStreamID {
			unseen = append(unseen, s)
		}
	}
	empty := len(c.streams) == 0
	c.mu.Unlock()
	for _, s := range unseen {
		s.abort(ErrUnusable)
	}
	if empty {
		c.fail(ErrUnusable)
	}
}
