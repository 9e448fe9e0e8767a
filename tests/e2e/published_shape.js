// A load script of the shape the sleep study publishes: one path, a ramp, a plateau, and nothing of this project.

import http from 'k6/http';

const users = Number(__ENV.TARGET_VUS || 50);

export const options = {
  stages: [
    { duration: '1s', target: users },
    { duration: '3s', target: users },
  ],
};

export default function () {
  http.get('http://localhost:PORT/PATH');
}
