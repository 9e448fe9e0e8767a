"""The dashboards: ``panels`` says what they show, ``build`` writes their JSON, ``check`` tests it."""
