package qmp

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// maxLine bounds one message; QEMU's own are far smaller.
const maxLine = 4 << 20

// Event is something that happened in QEMU, such as SHUTDOWN.
type Event struct {
	Name string
	Data json.RawMessage
	At   time.Time
}

// Error is QEMU's refusal of a command.
type Error struct {
	Class string `json:"class"` // GenericError, DeviceNotFound, CommandNotFound …
	Desc  string `json:"desc"`
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("qemu: %s (%s)", e.Desc, e.Class) }

// message is a line from QEMU: exactly one of greeting, event, answer and
// refusal.
type message struct {
	greeting bool
	event    *Event
	id       uint64
	result   json.RawMessage
	refusal  *Error
}

// parse reads one line.
func parse(line []byte) (message, error) {
	var raw struct {
		QMP    json.RawMessage `json:"QMP"`
		Event  string          `json:"event"`
		Data   json.RawMessage `json:"data"`
		Stamp  *timestamp      `json:"timestamp"`
		ID     uint64          `json:"id"`
		Return json.RawMessage `json:"return"`
		Error  *Error          `json:"error"`
	}
	if err := json.Unmarshal(line, &raw); err != nil {
		return message{}, fmt.Errorf("parse QMP message: %w", err)
	}
	kinds := 0
	for _, is := range []bool{raw.QMP != nil, raw.Event != "", raw.Return != nil, raw.Error != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		return message{}, errors.New("parse QMP message: want one of QMP, event, return and error")
	}
	m := message{greeting: raw.QMP != nil, id: raw.ID, result: raw.Return, refusal: raw.Error}
	if raw.Event != "" {
		m.event = &Event{Name: raw.Event, Data: raw.Data, At: raw.Stamp.time()}
	}
	return m, nil
}

type timestamp struct {
	Seconds      int64 `json:"seconds"`
	Microseconds int64 `json:"microseconds"`
}

func (t *timestamp) time() time.Time {
	if t == nil || t.Seconds < 0 || t.Microseconds < 0 {
		return time.Time{}
	}
	return time.Unix(t.Seconds, t.Microseconds*1000).UTC()
}
