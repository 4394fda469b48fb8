// Addresses are relative, so that the page also works behind a path of a proxy.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  validatorUrl: null, // else the page would ask a server elsewhere
});
