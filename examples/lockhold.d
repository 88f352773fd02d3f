#!/usr/bin/env -S dtrap -s
/*
 * How long threads wait for mutexes, and how long they hold them, in nanoseconds.
 *
 *     lockhold.d -p "$(pgrep -o firefox-esr)"
 */
#pragma D option quiet
#pragma D option dynvarsize=16m

pid$target:libc.so.6:pthread_mutex_lock:entry
{
	self->mutex = arg0;
	self->asked = timestamp;
}

pid$target:libc.so.6:pthread_mutex_lock:return
/self->asked && arg1 == 0/
{
	@waited["waited"] = quantize(timestamp - self->asked);
	self->held[self->mutex] = timestamp;
}

pid$target:libc.so.6:pthread_mutex_lock:return
{
	self->mutex = 0;
	self->asked = 0;
}

pid$target:libc.so.6:pthread_mutex_unlock:entry
/self->held[arg0]/
{
	@held["held"] = quantize(timestamp - self->held[arg0]);
	self->held[arg0] = 0;
}
