package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// answers is the agent's side of questions and streams.
type answers struct{ a *Agent }

// Answer implements bus.Handler.
func (s answers) Answer(ctx context.Context, question string, in []byte) ([]byte, error) {
	switch question {
	case driver.AskConsoleLog:
		return answer(in, func(q driver.ConsoleLogQuestion) (driver.ConsoleLogAnswer, error) {
			log, err := s.a.cfg.Hypervisor.ConsoleLog(ctx, q.ID, q.Max)
			return driver.ConsoleLogAnswer{Log: log}, err
		})
	case driver.AskSnapshot:
		return answer(in, func(q driver.SnapshotQuestion) (driver.SnapshotAnswer, error) { return s.a.snapshot(ctx, q) })
	case driver.AskDiagnostics:
		return answer(in, func(q driver.ServerQuestion) (map[string]any, error) {
			return s.a.cfg.Hypervisor.Diagnostics(ctx, q.ID)
		})
	}
	return nil, errors.ErrUnsupported
}

// Stream implements bus.Handler.
func (s answers) Stream(ctx context.Context, question string, in []byte) (io.ReadWriteCloser, error) {
	if question != driver.DialConsole {
		return nil, errors.ErrUnsupported
	}
	var q driver.ConsoleQuestion
	if err := json.Unmarshal(in, &q); err != nil {
		return nil, err
	}
	return s.a.cfg.Hypervisor.Console(ctx, q.ID, hypervisor.ConsoleKind(q.Kind))
}

func answer[Q, A any](in []byte, f func(Q) (A, error)) ([]byte, error) {
	var q Q
	if err := json.Unmarshal(in, &q); err != nil {
		return nil, err
	}
	out, err := f(q)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}
