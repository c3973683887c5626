"""The shell: Envoy's protocols, REST, discovery, configuration and the composition root."""
