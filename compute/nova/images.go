package nova

import (
	"encoding/json"
	"strings"

	"github.com/nephos-cloud/nephos/httpapi"
)

// createImage has an image made of a server.
func (a *api) createImage(r *httpapi.Request, id string, body json.RawMessage) (*httpapi.Response, error) {
	var in struct {
		Name     *string           `json:"name"`
		Metadata map[string]string `json:"metadata"`
	}
	if err := obey(r, createImageSchema()); err != nil {
		return nil, err
	}
	if err := r.DecodeValue(body, "createImage", &in); err != nil {
		return nil, err
	}
	image, err := a.Images.CreateServerImage(r.Context(), id, strings.TrimSpace(*in.Name), in.Metadata)
	if err != nil {
		return nil, err
	}
	if atLeast(r, 45) {
		return httpapi.Accepted(map[string]string{"image_id": image}), nil
	}
	return httpapi.Accepted(nil).Set("Location", strings.TrimRight(a.ImageURL, "/")+"/images/"+image).
		Set("Content-Type", "text/html; charset=UTF-8"), nil
}
