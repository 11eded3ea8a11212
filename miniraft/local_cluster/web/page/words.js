// How things are said: times, sizes, quorums and shell lines.

export function clock(time) {
  const date = new Date(time);
  const two = (number) => String(number).padStart(2, "0");
  const thousandths = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${thousandths}`;
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 ** 2) return `${Math.round(bytes / 1024)} KiB`;
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

export function quorumWords({ alive, total, quorum, canLose }) {
  const lose = canLose >= 0 ? `can lose ${canLose}` : "quorum lost: no writes";
  return `alive ${alive}/${total}, quorum ${quorum}, ${lose}`;
}

export function leaderWords({ leader, term }) {
  return leader ? `${leader.name} leads in term ${leader.term}` : `no leader${term ? `, term ${term}` : ""}`;
}

// What a member is, in one word or two.
export function roleWords(member) {
  if (member.status === "running") {
    if (!member.role) return "starting";
    return member.role === "follower" && !member.leader ? "no leader" : member.role;
  }
  return member.state || "unknown";
}

// The colour of a term, which its number stands beside.
export const termClass = (term) => (term ? `t${term % 6}` : "no-term");

// A word as a shell takes it.
export function quote(word) {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

const SIGNALS = { kill: "-9", stop: "-TERM", pause: "-STOP", resume: "-CONT" };

// The shell's own way to do something to a member; null when there is no process to do it to.
export function plainLine(command, member, cluster) {
  if (command === "restart") return cluster.members.get(member.name).start;
  return member.pid ? `kill ${SIGNALS[command]} ${member.pid}` : null;
}

export function clusterLine(command, name, cluster) {
  return `miniraft cluster ${command} ${name}${cluster.arguments}`;
}

export function etcdctlLine({ operation, key, value, member, serializable }, cluster) {
  const url = cluster.members.get(member)?.url;
  const words = ["etcdctl-py", operation];
  if (url) words.push(`--endpoints=${url}`);
  if (serializable) words.push("--consistency=s");
  if (key.startsWith("-") || value?.startsWith("-")) words.push("--");
  words.push(quote(key));
  if (operation === "put") words.push(quote(value));
  return words.join(" ");
}
