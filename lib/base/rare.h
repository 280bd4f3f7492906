/* rare.h - what hardly ever holds: its way out is laid aside, so that the usual one goes straight on. */
#ifndef SFI_BASE_RARE_H
#define SFI_BASE_RARE_H

#define SFI_RARE(condition) __builtin_expect(!!(condition), 0)

#endif
