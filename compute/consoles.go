package compute

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/store"
)

// consoleTopic is woken when a server goes, so that its open consoles are cut.
const consoleTopic = "compute.consoles"

// Console is an invitation to a server's console, good once and not for long.
type Console struct {
	Protocol string // vnc or serial
	Type     string // novnc or serial
	URL      string
}

// Consoles is what the Compute API's consoles need.
type Consoles interface {
	// ConsoleLog returns the end of what the guest wrote to its serial port.
	// lines bounds it; negative means all that is kept.
	ConsoleLog(ctx context.Context, serverID string, lines int) ([]byte, error)
	// CreateConsole invites to a console. A type that is not offered is ErrInvalid.
	CreateConsole(ctx context.Context, serverID, protocol, kind string) (Console, error)
	// Diagnostics returns counters of a running guest.
	Diagnostics(ctx context.Context, serverID string) (map[string]any, error)
	// ServerPassword returns what the guest posted as its password, encrypted for
	// its owner's key; empty when it posted none.
	ServerPassword(ctx context.Context, serverID string) (string, error)
	ClearServerPassword(ctx context.Context, serverID string) error
}

var _ Consoles = (*Service)(nil)

// consoleTypes are the types of console by protocol.
var consoleTypes = map[string][]string{"vnc": {"novnc"}, "serial": {"serial"}}

type consoleRow struct {
	bun.BaseModel `bun:"table:compute_consoles,alias:console"`

	TokenHash string `bun:",pk"`
	ServerID  string
	Host      string
	Kind      string // the guest's: vnc or serial
	Protocol  string
	Type      string
	ExpiresAt time.Time
}

// maxConsoleLog bounds what is asked of a console's log, in bytes.
const maxConsoleLog = 1 << 20

// hosted loads a server for a question to its host.
func (s *Service) hosted(ctx context.Context, id, rule string) (*serverRow, error) {
	row, err := s.find(ctx, id, false)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Policy.Enforce(ctx, rule, row.target()); err != nil {
		return nil, err
	}
	if row.Host == "" || row.Phase != phaseLive {
		return nil, nephos.Errorf(nephos.ErrConflict, "Instance %s is not ready", id)
	}
	return row, nil
}

// ConsoleLog implements [Consoles].
func (s *Service) ConsoleLog(ctx context.Context, serverID string, lines int) ([]byte, error) {
	row, err := s.hosted(ctx, serverID, "os_compute_api:os-console-output")
	if err != nil {
		return nil, err
	}
	var out driver.ConsoleLogAnswer
	err = s.cfg.Fleet.Ask(ctx, row.Host, driver.AskConsoleLog, driver.ConsoleLogQuestion{ID: row.ID, Max: maxConsoleLog}, &out)
	if err != nil {
		return nil, err
	}
	return lastLines(out.Log, lines), nil
}

// lastLines returns the last n lines; all when n is negative.
func lastLines(log []byte, n int) []byte {
	if n < 0 {
		return log
	}
	if n == 0 {
		return nil
	}
	end := len(log)
	if end > 0 && log[end-1] == '\n' {
		end--
	}
	for i := end - 1; i >= 0; i-- {
		if log[i] == '\n' {
			if n--; n == 0 {
				return log[i+1:]
			}
		}
	}
	return log
}

// Diagnostics implements [Consoles].
func (s *Service) Diagnostics(ctx context.Context, serverID string) (map[string]any, error) {
	row, err := s.hosted(ctx, serverID, "os_compute_api:os-server-diagnostics")
	if err != nil {
		return nil, err
	}
	if row.VMState != Active {
		return nil, refusal("get_diagnostics", row.ID, "vm_state", row.VMState)
	}
	out := map[string]any{}
	return out, s.cfg.Fleet.Ask(ctx, row.Host, driver.AskDiagnostics, driver.ServerQuestion{ID: row.ID}, &out)
}

// CreateConsole implements [Consoles].
func (s *Service) CreateConsole(ctx context.Context, serverID, protocol, kind string) (Console, error) {
	row, err := s.find(ctx, serverID, false)
	if err != nil {
		return Console{}, err
	}
	if err := s.cfg.Policy.Enforce(ctx, "os_compute_api:os-remote-consoles", row.target()); err != nil {
		return Console{}, err
	}
	if row.Host == "" || row.Phase != phaseLive || row.VMState != Active && row.VMState != Paused {
		return Console{}, nephos.Errorf(nephos.ErrConflict, "Instance %s is not ready", serverID)
	}
	if s.cfg.ConsoleURL == nil || !slices.Contains(consoleTypes[protocol], kind) {
		return Console{}, invalid("Unavailable console type %.64s.", kind)
	}
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return Console{}, err
	}
	token := base64.RawURLEncoding.EncodeToString(raw[:])
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.NewInsert().Model(&consoleRow{
			TokenHash: tokenHash(token), ServerID: row.ID, Host: row.Host, Kind: protocol, Protocol: protocol, Type: kind,
			ExpiresAt: tx.Now().Add(s.cfg.ConsoleLife),
		}).Returning("NULL").Exec(ctx)
		if err != nil {
			return err
		}
		return row.emit(ctx, tx, "console")
	})
	return Console{Protocol: protocol, Type: kind, URL: s.cfg.ConsoleURL() + "?token=" + url.QueryEscape(token)}, err
}

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Redeem opens the console that the token invites to. The token is good once.
// The stream ends with the server. An unknown, used or old token is ErrNotFound.
func (s *Service) Redeem(ctx context.Context, token string) (io.ReadWriteCloser, error) {
	var row consoleRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var rows []consoleRow
		if err := tx.NewSelect().Model(&rows).Where("console.token_hash = ?", tokenHash(token)).Scan(ctx); err != nil {
			return err
		}
		if len(rows) == 0 || tx.Now().After(rows[0].ExpiresAt) {
			return nephos.Errorf(nephos.ErrNotFound, "The console's token is not good, or no longer.")
		}
		row = rows[0]
		_, err := tx.NewRaw("DELETE FROM compute_consoles WHERE token_hash = ?", row.TokenHash).Exec(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	server, err := loadServer(ctx, s.cfg.Store.Reader(), row.ServerID)
	if err != nil || server.Host != row.Host {
		return nil, errors.Join(err, nephos.Errorf(nephos.ErrNotFound, "The console's server is not there any more."))
	}
	stream, err := s.cfg.Fleet.Dial(ctx, row.Host, driver.DialConsole, driver.ConsoleQuestion{ID: row.ServerID, Kind: row.Kind})
	if err != nil {
		return nil, err
	}
	return s.cut(ctx, stream, row), nil
}

// cut closes the stream when the server is being deleted or is elsewhere.
func (s *Service) cut(ctx context.Context, stream io.ReadWriteCloser, row consoleRow) io.ReadWriteCloser {
	wake, stop := s.cfg.Store.Watch(consoleTopic)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer stop()
		defer stream.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case <-wake:
			}
			server, err := loadServer(ctx, s.cfg.Store.Reader(), row.ServerID)
			if err != nil || server.Host != row.Host || server.Phase == phaseDeleting {
				return
			}
		}
	}()
	return cutStream{stream, cancel}
}

// cutStream ends its watch when it is closed.
type cutStream struct {
	io.ReadWriteCloser
	cancel context.CancelFunc
}

func (c cutStream) Close() error {
	c.cancel()
	return c.ReadWriteCloser.Close()
}

// ServerPassword implements [Consoles].
func (s *Service) ServerPassword(ctx context.Context, serverID string) (string, error) {
	row, err := s.find(ctx, serverID, false)
	if err != nil {
		return "", err
	}
	return row.Password, s.cfg.Policy.Enforce(ctx, "os_compute_api:os-server-password:show", row.target())
}

// ClearServerPassword implements [Consoles].
func (s *Service) ClearServerPassword(ctx context.Context, serverID string) error {
	_, err := s.change(ctx, serverID, "os_compute_api:os-server-password:clear", true, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		row.Password = ""
		columns, err := s.tellGuest(ctx, tx, row)
		if err != nil {
			return err
		}
		return row.save(ctx, tx, append(columns, "password")...)
	})
	return err
}
