// Watches a real cockpit (ADDRESS, KEY, ORGANIZATION) and prints each snapshot as a line, until its input ends.

import { useMonitoring } from "../../static/js/monitoring.js";

const { ADDRESS, KEY, ORGANIZATION } = process.env;
const monitoring = useMonitoring({ organization: ORGANIZATION, baseUrl: ADDRESS, token: KEY, compare: "none" });
monitoring.subscribe((snapshot) => console.log(JSON.stringify({ ...snapshot, error: snapshot.error && { ...snapshot.error } })));
process.stdin.on("end", monitoring.stop).resume();
